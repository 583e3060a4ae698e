"""The cost of every network: parameters and GMACs equal the paper's, to the last digit."""

import json
import re
import resource
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import pytest
import torch
from helpers import ROOT, run_command
from torch.utils.flop_counter import FlopCounterMode

from modernet import build_model, roadmap
from modernet.analysis.paper import paper_rows
from modernet.config.roadmap import main_path
from modernet.models import flops
from modernet.models.flops import table_networks

pytestmark = pytest.mark.xdist_group("costs")  # one process counts each network once

ROWS = [row for size in ("t", "b") for row in paper_rows(size).values() if row.params]


cached_cost = cache(flops.model_cost)


@pytest.fixture(autouse=True)
def count_each_network_once(monkeypatch):
    """The tests and the costs command, which runs in this process, use the same cached counts."""
    monkeypatch.setattr(flops, "model_cost", cached_cost)


def cost_of(size: str, step: str) -> flops.ModelCost:
    """The cost of a network of the costs table."""
    return cached_cost(table_networks(size)[step])


def test_table_networks_are_the_36_networks_of_the_paper_and_the_steps_beside_them():
    """18 per size: 15 steps and three more kernel sizes."""
    assert len(ROWS) == 36
    for size in ("t", "b"):
        beyond = set(roadmap(size)) - set(main_path(size))
        published = [name for name in table_networks(size) if name not in beyond]
        assert published == [row.step for row in ROWS if row.size == size]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.size}-{row.step}")
def test_params_and_gmacs_equal_the_paper(row):
    counted = cost_of(row.size, row.step)
    assert counted.params == row.params
    assert round(counted.gmacs, 3) == row.gmacs


@pytest.mark.parametrize("step", ["resnet50", "invert_bottleneck", "convnext"])
def test_model_cost_equals_torch_flop_counter(step):
    config = replace(roadmap("micro")[step], stem_stride=2)
    model = build_model(config, num_classes=10).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.randn(1, 3, 64, 64))
    counted = flops.model_cost(config, image_size=64, num_classes=10)
    assert counted.gmacs == pytest.approx(counter.get_total_flops() / 2e9, rel=1e-12)
    assert counted.params == sum(parameter.numel() for parameter in model.parameters())


def test_model_cost_counts_depthwise_convolutions_larger_than_the_image():
    """With gradients they are matrix products on a CPU, which the count would miss."""
    config = replace(roadmap("micro")["large_kernel"], stem_stride=1)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        build_model(config, num_classes=10).eval()(torch.randn(1, 3, 8, 8))
    assert flops.model_cost(config, 8, 10).gmacs == pytest.approx(counter.get_total_flops() / 2e9, rel=1e-12)


@pytest.mark.parametrize(("step", "millions"), [("resnet50", 11.1), ("convnext", 13.4)])
def test_activations_equal_published_counts(step, millions):
    """ResNet-50: 11.1 M (Radosavovic et al. 2020, Table 1)."""
    assert round(cost_of("t", step).activations / 1e6, 1) == millions


def test_model_cost_allocates_no_memory_for_the_weights():
    config = replace(roadmap("b")["convnext"], width=1024)
    cost_of("t", "gelu")  # loads whatever a first call loads
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    counted = flops.model_cost(config)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert counted.params > 5e9
    assert grown < 0.02 * 4 * counted.params


@pytest.mark.parametrize("size", ["t", "b", "micro"])
def test_costs_command_prints_one_json_row_per_network(size):
    result = run_command("costs", "--size", size, "--json")
    assert result.returncode == 0, result.stderr
    rows = json.loads(result.stdout)
    assert [row["step"] for row in rows] == list(table_networks(size))
    printed = paper_rows(size)
    for row in rows:
        assert list(row)[:5] == ["step", "params", "gmacs", "paper_gmacs", "paper_top1"]
        if row["step"] not in printed:
            assert row["paper_gmacs"] is None
        else:
            paper = printed[row["step"]]
            assert (row["params"], row["gmacs"]) == (paper.params, paper.gmacs)
            assert (row["paper_gmacs"], row["paper_top1"]) == (paper.gmacs_printed, paper.top1)


def test_costs_command_marks_and_explains_where_the_paper_contradicts_itself():
    result = run_command("costs", "--size", "t")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    marked = [line.split()[1] for line in lines if line.startswith("|") and " * |" in line]
    assert marked == ["layer_norm", "separate_downsampling"]
    assert [line.split()[1] for line in lines if line.startswith("* ")] == ["layer_norm:", "separate_downsampling:"]


def readme_table(title: str) -> Iterator[tuple[str, str, str]]:
    """Step, GMACs and parameters of each row of the table of steps in this section of the README."""
    section = (ROOT / "README.md").read_text().partition(f"## {title}\n")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if line.startswith("|")]
    gmacs, params = rows[0].index("GMACs"), rows[0].index("parameters")
    return ((row[0].strip("`"), row[gmacs], row[params]) for row in rows if re.fullmatch(r"`\w+`", row[0]))


def test_readme_table_of_steps_shows_the_counted_costs():
    published = main_path("t")
    beyond = [name for name in roadmap("t") if name not in published]
    for title, names in (("The roadmap", published), ("Beyond the paper", beyond)):
        costs = {name: cost_of("t", name) for name in names}
        expected = [(name, f"{cost.gmacs:.3f}", f"{cost.params:,}") for name, cost in costs.items()]
        assert list(readme_table(title)) == expected
