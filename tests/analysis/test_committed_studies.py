"""The committed studies: valid records under their identity, found again by the commands that made them."""

from dataclasses import field, make_dataclass, replace

import numpy as np
import pytest
from helpers import ROOT, compose, run_command
from scipy import stats as scipy_stats

from modernet.analysis.selection import select
from modernet.analysis.stats import ALPHA, holm, summarize, welch
from modernet.analysis.table import build_rows
from modernet.config import identity
from modernet.data.fingerprint import resolve_data
from modernet.record import load_records

STUDIES = ROOT / "results/studies"
NAMES = sorted(path.name for path in STUDIES.iterdir() if path.is_dir())
CIFAR10_FINGERPRINT = "bf89056a7c3a62e7"

# Study -> overrides that describe one of its runs today.
RUNS = {
    "cifar10_micro": [
        "protocol=cifar10_micro",
        "+step=move_up_depthwise",
        "model.kernel_size=9",
        "recipe.epochs=2",
        "seed=2",
    ],
    "tuning_cifar10_micro": [
        "protocol=cifar10_micro",
        "+step=convnext",
        "recipe.lr=6e-3",
        "recipe.epochs=3",
        "data.split=train/val",
    ],
    "tuning": ["+step=kernel_size", "recipe.init=fan_in", "recipe.lr=2e-3", "data.split=train/val"],
    "shapley": ["protocol=cifar10_micro", "+step=convnext", "ablate=kernel_size", "recipe.epochs=2"],
    "roadmap": ["protocol=cifar10_micro", "+step=invert_bottleneck", "seed=1"],
    "beyond": ["protocol=cifar10_micro", "+step=grn", "seed=2"],
    "attribution_digits": ["+step=convnext", "ablate=gelu", "recipe={epochs:1,warmup_epochs:0.5}", "seed=1"],
}


@pytest.mark.parametrize("name", NAMES)
def test_every_record_is_valid_and_in_the_folder_of_its_hash(name):
    records, rejected = load_records(STUDIES / name)
    assert not rejected
    assert select(STUDIES / name).excluded == []
    for path, record in records.items():
        assert path.parent.name.endswith(f"-s{record.seed}-{record.hash}")
        assert path.parent.parent == STUDIES / name / record.protocol


@pytest.mark.parametrize("name", NAMES)
def test_a_run_composed_today_has_the_hash_of_its_record(name):
    experiment = compose(*RUNS[name])
    if experiment.data.name == "cifar10":
        experiment = replace(experiment, data_fingerprint=CIFAR10_FINGERPRINT)
    (folder,) = (STUDIES / name / experiment.protocol).glob(f"*-s{experiment.seed}-{experiment.hash}")
    assert (folder / "record.json").is_file()


def test_fingerprint_of_cifar10_is_that_of_the_committed_runs(cifar10_root):
    experiment = resolve_data(compose("protocol=cifar10_micro", f"data.root={cifar10_root}"))
    assert experiment.data_fingerprint == CIFAR10_FINGERPRINT


@pytest.mark.parametrize("section", ["model", "recipe", "data"])
def test_a_new_field_with_a_default_leaves_every_hash_unchanged(monkeypatch, section):
    records = [record for name in NAMES for record in load_records(STUDIES / name).records.values()]
    hashes = [record.hash for record in records]

    schema = make_dataclass(
        "Extended", [("added", int, field(default=7))], bases=(identity.SCHEMAS[section],), frozen=True, kw_only=True
    )
    monkeypatch.setitem(identity.SCHEMAS, section, schema)
    assert [record.hash for record in records] == hashes
    for value, is_equal in ((7, True), (8, False)):  # runs of today have the field in their config
        configs = [record.config | {section: record.config[section] | {"added": value}} for record in records]
        assert all((identity.run_hash(config) == old) is is_equal for config, old in zip(configs, hashes, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_committed_table_follows_from_the_records(name):
    table = run_command("table", STUDIES / name).stdout
    assert table in (STUDIES / name / "table.md").read_text()


def test_paths_of_committed_files_are_short():
    """Windows allows 260 characters with the folder of the clone."""
    assert max(len(str(path.relative_to(ROOT))) for path in STUDIES.rglob("*")) < 120


def test_every_study_is_listed_in_the_readme():
    text = (ROOT / "results/README.md").read_text()
    assert all(f"| `{name}` |" in text for name in NAMES)
    assert set(RUNS) == set(NAMES)


def test_pooled_noise_decides_nine_of_fourteen_steps_on_cifar10_where_welch_decides_four():
    rows = {row.variant: row for row in build_rows(select(STUDIES / "cifar10_micro").records.values())}
    steps = [row for row in rows.values() if row.is_published and row.before]
    assert {(row.difference_test, row.pooled_df) for row in steps} == {("pooled", 30)}
    stds = [row.top1_std for row in rows.values() if row.is_published and row.top1_std]
    assert (len(stds), steps[0].pooled_std) == (15, pytest.approx((sum(std**2 for std in stds) / 15) ** 0.5))
    assert steps[0].brown_forsythe_p == pytest.approx(0.800, abs=1e-3)
    by_welch = holm([welch(summarize(row.top1s), summarize(rows[row.before or ""].top1s)).p for row in steps])
    decided = {
        name: sum(p is not None and p < ALPHA for p in p_values)
        for name, p_values in (("pooled", [row.difference_holm for row in steps]), ("welch", by_welch))
    }
    assert (len(steps), decided) == (14, {"pooled": 9, "welch": 4})


def test_runs_with_the_same_seed_are_not_correlated_on_cifar10():
    rows = build_rows(select(STUDIES / "cifar10_micro").records.values())
    accuracies = np.array([row.top1s for row in rows])  # (18 variants, 3 seeds)
    residuals = accuracies - accuracies.mean(axis=1, keepdims=True)
    of_seed = 18 * (residuals.mean(axis=0) ** 2).sum() / 2
    noise = ((residuals - residuals.mean(axis=0)) ** 2).sum() / 34
    assert rows[0].seed_correlation == pytest.approx((of_seed - noise) / (of_seed + 17 * noise))
    assert rows[0].seed_correlation == pytest.approx(0.002, abs=0.005)
    assert rows[0].seed_p == pytest.approx(scipy_stats.f.sf(of_seed / noise, 2, 34))
