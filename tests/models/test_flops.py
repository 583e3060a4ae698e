"""What every network costs, to the last parameter, as the paper's tables have it."""

import json
import re
import resource
from dataclasses import replace

import pytest
import torch
from helpers import ROOT, run_script
from torch.utils.flop_counter import FlopCounterMode

from modernet import build
from modernet import cost
from modernet.analysis import paper
from modernet import roadmap
from modernet.models.flops import networks

ROWS = [row for size in ("t", "b") for row in paper.rows(size).values() if row.params]


def test_the_paper_has_36_networks():
    """18 a size: 15 steps, the released one among them, and three more kernels."""
    assert len(ROWS) == 36
    for size in ("t", "b"):
        assert list(networks(size)) == [row.step for row in ROWS if row.size == size]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.size}-{row.step}")
def test_params_and_gmacs_are_the_papers(row):
    counted = cost(networks(row.size)[row.step])
    assert counted.params == row.params
    assert round(counted.gmacs, 3) == row.gmacs


@pytest.mark.parametrize("step", ["resnet50", "invert_bottleneck", "convnext"])
def test_torchs_own_counter_agrees(step):
    spec = replace(roadmap("t")[step], stem_stride=2)
    with FlopCounterMode(display=False) as counter:
        build(spec, num_classes=10).eval()(torch.randn(1, 3, 64, 64))
    counted = cost(spec, image_size=64, num_classes=10)
    assert counted.gmacs == pytest.approx(counter.get_total_flops() / 2e9, rel=1e-12)
    assert counted.params == sum(parameter.numel() for parameter in build(spec, num_classes=10).parameters())


@pytest.mark.parametrize(("step", "millions"), [("resnet50", 11.1), ("convnext", 13.4)])
def test_activations_are_the_known_ones(step, millions):
    """ResNet-50: 11.1 M (Radosavovic et al. 2020, Table 1)."""
    assert round(cost(roadmap("t")[step]).activations / 1e6, 1) == millions


def test_counting_takes_no_memory_for_the_weights():
    spec = replace(roadmap("b")["convnext"], width=1024)
    cost(roadmap("t")["gelu"])  # whatever a first call loads
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    counted = cost(spec)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert counted.params > 5e9
    assert grown < 0.02 * 4 * counted.params


@pytest.mark.parametrize("size", ["t", "b", "micro"])
def test_the_script_prints_a_row_per_network(size):
    result = run_script("scripts/costs.py", "--size", size, "--json")
    assert result.returncode == 0, result.stderr
    rows = json.loads(result.stdout)
    assert [row["step"] for row in rows] == list(networks(size))
    printed = paper.rows(size)
    for row in rows:
        assert list(row) == ["step", "params", "gmacs", "paper_gmacs", "paper_top1"]
        if size == "micro":
            assert row["paper_gmacs"] is None
        else:
            of_paper = printed[row["step"]]
            assert (row["params"], row["gmacs"]) == (of_paper.params, of_paper.gmacs)
            assert (row["paper_gmacs"], row["paper_top1"]) == (of_paper.gmacs_printed, of_paper.top1)


def test_the_table_explains_the_two_cells_where_the_paper_contradicts_itself():
    lines = run_script("scripts/costs.py", "--size", "t").stdout.splitlines()
    marked = [line.split()[1] for line in lines if line.startswith("|") and " * |" in line]
    assert marked == ["layer_norm", "separate_downsampling"]
    assert [line.split()[1] for line in lines if line.startswith("* ")] == ["layer_norm:", "separate_downsampling:"]


def test_another_size_is_refused_with_what_is_allowed():
    result = run_script("scripts/costs.py", "--size", "xl")
    assert result.returncode == 2
    assert "xl" in result.stderr
    assert all(size in result.stderr for size in ("t", "b", "micro"))


def test_the_readme_says_what_is_counted():
    table = {
        line.split("`")[1]: [cell.strip() for cell in line.split("|")[4:6]]
        for line in (ROOT / "README.md").read_text().partition("## The roadmap")[2].partition("\n## ")[0].splitlines()
        if re.match(r"\| `\w+` \|", line)
    }
    counted = {name: cost(spec) for name, spec in roadmap("t").items()}
    assert table == {name: [f"{one.gmacs:.3f}", f"{one.params:,}"] for name, one in counted.items()}
    assert list(table) == list(counted)
