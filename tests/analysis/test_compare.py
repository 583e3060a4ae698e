"""`modernet compare`: differences of chosen variants to the first."""

import csv
import io
import json

import pytest
from helpers import ROOT, run_command, run_script
from records import make_record, write_study
from scipy import stats

STUDY = ROOT / "results/studies/cifar10_micro"
LEVELS = {"gelu": (60.0, 61.0, 62.5), "layer_norm": (64.0, 64.5, 66.0), "convnext": (61.0, 60.5, 63.0)}


def gelu_like(step: str, top1: float, seed: int, **changes):
    """A run whose config says its step's activation and its epochs."""
    model = {"act": "relu" if step == "kernel_size" else "gelu", "layer_scale": 1e-6 if step == "convnext" else 0.0}
    model |= {"norm": "layer"} if step in ("layer_norm", "convnext") else {}
    config = {"seed": seed, "model": model, "recipe": {"epochs": 2}, "data_fingerprint": "abc"}
    return make_record(step, top1, seed, **{"config": config, **changes})


@pytest.fixture
def study(tmp_path):
    return write_study(
        tmp_path / "runs",
        [gelu_like(step, top1, seed) for step, values in LEVELS.items() for seed, top1 in enumerate(values)],
    )


def compare(*arguments, runs=STUDY):
    result = run_command("compare", *arguments, "--runs", runs, "--json")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_differences_are_planned_contrasts_by_hand(study):
    """Three networks of three runs: pooled variance with 6 degrees of freedom."""
    reference, layer_norm, convnext = compare("gelu", "layer_norm", "convnext", runs=study)
    means = {name: sum(values) / 3 for name, values in LEVELS.items()}
    variance = sum((value - means[name]) ** 2 for name, values in LEVELS.items() for value in values) / 6
    error = (variance * 2 / 3) ** 0.5
    p_values = []
    for row in (layer_norm, convnext):
        gap = means[row["variant"]] - means["gelu"]
        half = stats.t.ppf(0.975, 6) * error
        p_values.append(2 * stats.t.sf(abs(gap) / error, 6))
        assert row["before"] == "gelu"
        assert row["difference"] == pytest.approx(gap)
        assert row["difference_low"] == pytest.approx(gap - half)
        assert row["difference_high"] == pytest.approx(gap + half)
        assert row["difference_p"] == pytest.approx(p_values[-1])
        assert row["seeds_needed"] >= 2
    assert layer_norm["difference_holm"] == pytest.approx(2 * p_values[0])  # Holm: the smaller of two counts twice
    assert convnext["difference_holm"] == pytest.approx(p_values[1])
    assert (reference["before"], reference["difference"]) == (None, None)
    assert convnext["settings"] == {"model.layer_scale": 1e-6, "model.norm": "layer"}
    assert (convnext["gmacs"], convnext["params"], convnext["images_per_second"]) == (0.0123, 500_000, 910)


def test_neighbours_have_the_interval_of_the_results_table():
    table = {row["variant"]: row for row in json.loads(run_command("table", STUDY, "--json").stdout)}
    names = ("difference", "difference_low", "difference_high", "difference_p", "seeds_needed", "pooled_df")
    for before, after in (("modern_recipe", "stage_ratio"), ("move_up_depthwise", "move_up_depthwise+kernel_size=5")):
        row = compare(before, after)[1]
        assert [row[name] for name in names] == pytest.approx([table[after][name] for name in names])


def test_variants_that_are_no_neighbours_are_compared():
    result = run_command("compare", "gelu", "convnext", "--runs", STUDY)
    assert result.returncode == 0
    row = next(line for line in result.stdout.splitlines() if line.startswith("| convnext"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:6] == ["convnext", "3", "53.44 ± 0.73", "-7.91 [-8.93, -6.89]", "< 0.001", "< 0.001"]
    assert cells[6:9] == ["2", "0.0088", "671,266"]
    assert "convnext differs from gelu in model.act_after=[1]" in result.stdout


def test_a_filter_stands_for_all_variants_that_it_matches_in_roadmap_order():
    rows = compare("kernel_size", "step=='move_up_depthwise' and model.kernel_size>3", "kernel_size")
    expected = [f"move_up_depthwise+kernel_size={size}" for size in (5, 9, 11)]
    assert [row["variant"] for row in rows] == ["kernel_size", *expected]
    assert [row["n"] for row in compare("gelu", "convnext", "--where", "seed<2")] == [2, 2]


def test_a_row_is_named_without_the_changes_in_the_heading_of_its_table(tmp_path):
    records = [
        gelu_like(step, 60.0 + seed + number, seed, variant=f"{step}+recipe.epochs=2")
        for number, step in enumerate(("gelu", "convnext"))
        for seed in (0, 1)
    ]
    runs = write_study(tmp_path / "runs", records)
    assert [row["top1"] for row in compare("gelu", "convnext", runs=runs)] == [60.5, 61.5]
    more = write_study(tmp_path / "more", [*records, gelu_like("gelu", 70.0, 0, variant="gelu+recipe.epochs=9")])
    result = run_command("compare", "gelu", "convnext", "--runs", more)
    assert result.returncode == 2
    assert "'gelu' was run with several recipes or data; choose one of gelu+recipe.epochs=2, gelu+recipe.epochs=9" in (
        result.stderr
    )


def test_configurations_with_one_name_are_told_apart_by_filters(tmp_path):
    records = [
        gelu_like("gelu", 60.0 + seed + epochs, seed, ended=f"2026-01-0{epochs}", config=config)
        for epochs in (2, 6)
        for seed in (0, 1)
        for config in [{"seed": seed, "recipe": {"epochs": epochs}}]
    ]
    runs = write_study(tmp_path / "runs", records)
    rows = compare("recipe.epochs==2", "recipe.epochs==6", runs=runs)
    assert [(row["variant"], row["top1"]) for row in rows] == [
        ("gelu (recipe.epochs=2)", 62.5),
        ("gelu (recipe.epochs=6)", 66.5),
    ]
    result = run_command("compare", "gelu", "recipe.epochs==2", "--runs", runs, "--json")
    assert [row["top1"] for row in json.loads(result.stdout)] == [66.5, 62.5]
    assert result.stderr.count("the newest counts") == 2


def test_accuracies_on_two_data_sets_without_files_are_not_compared(tmp_path):
    records = [
        gelu_like("gelu", 60.0, config={"seed": 0, "data": {"name": name}}, protocol=name, seed=0)
        for name in ("digits", "fake")
    ]
    runs = write_study(tmp_path / "runs", records)
    result = run_command("compare", "protocol=='digits'", "protocol=='fake'", "--runs", runs)
    assert result.returncode == 2
    assert "the variants were evaluated on different images (data.name: gelu digits, gelu fake)" in result.stderr


def test_rows_with_other_settings_add_no_noise(study, tmp_path):
    """Another learning rate of the same recipe, as after a change of a default; the table does not pool it either."""
    config = {"seed": 0, "recipe": {"epochs": 2, "lr": 0.5}, "data_fingerprint": "abc"}
    noisy = [gelu_like("stage_ratio", 40.0 + 20 * seed, seed, config=config | {"seed": seed}) for seed in range(3)]
    alone = compare("gelu", "convnext", runs=study)[1]
    both = write_study(tmp_path / "both", noisy)
    result = run_command("compare", "gelu", "convnext", "--json", "--runs", study, both)
    row = json.loads(result.stdout)[1]
    assert (row["pooled_std"], row["pooled_df"]) == (alone["pooled_std"], alone["pooled_df"])
    table = json.loads(run_command("table", study, both, "--json").stdout)
    assert {one["pooled_df"] for one in table if one["variant"] == "convnext"} == {row["pooled_df"]}


def test_folders_of_two_machines_are_compared_as_one(study, tmp_path):
    other = write_study(tmp_path / "server", [gelu_like("gelu", 61.0, 1), gelu_like("gelu", 63.0, 3)])
    result = run_command("compare", "gelu", "convnext", "--json", "--runs", study, other)
    assert json.loads(result.stdout)[0]["top1s"] == [60.0, 61.0, 62.5, 63.0]
    assert result.stderr.count("excluded: ") == 1
    assert "gelu with seed 1 a second time" in result.stderr


def test_a_single_seed_without_noise_has_a_difference_and_no_interval(tmp_path):
    runs = write_study(tmp_path / "runs", [gelu_like("gelu", 60.0, 0), gelu_like("convnext", 61.0, 0)])
    row = compare("gelu", "convnext", runs=runs)[1]
    assert (row["difference"], row["difference_low"], row["difference_p"], row["seeds_needed"]) == (1.0, *[None] * 3)
    assert "Noise: unknown" in run_command("compare", "gelu", "convnext", "--runs", runs).stdout


def test_csv_has_the_columns_of_the_table_and_latex_is_escaped(study):
    result = run_script("scripts/compare.py", "gelu", "layer_norm", "--runs", study, "--csv")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    table = run_command("table", study, "--csv").stdout
    assert list(rows[0]) == table.splitlines()[0].split(",")
    assert rows[1]["difference"] == "3.666666667"
    tex = run_command("compare", "gelu", "layer_norm", "--runs", study, "--latex").stdout
    assert r"\caption{digits, size micro, 2 epochs: differences to gelu}" in tex
    assert r"top-1 (\%)" in tex
    assert r"layer\_norm" in tex


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("gleu", "gelu"), "there is no record of 'gleu'; allowed: gelu, layer_norm, convnext, and filters such as"),
        (("gelu",), "a comparison needs two variants or more, got 1: gelu"),
        (("gelu", "gelu"), "a comparison needs two variants or more, got 1: gelu, gelu"),
        (("gelu", "seed==7"), 'no finished record matches "seed==7"'),
        (("seed<3", "gelu"), 'the first of the compared variants must be one; "seed<3" selects 3: gelu, layer_norm'),
        (("gelu", "recipe.epoch==2"), "there is no field 'recipe.epoch'; allowed: "),
        (("gelu", "convnext", "--protocol", "imagenet"), "there is no finished record of protocol imagenet"),
    ],
)
def test_mistakes_are_one_line_and_status_2(study, words, message):
    result = run_command("compare", *words, "--runs", study)
    assert (result.returncode, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) == 1
    assert message in result.stderr


def test_a_name_of_two_protocols_and_results_on_other_images_are_refused(tmp_path):
    elsewhere = {"protocol": "cifar10_micro", "data": "cifar10"}
    config = {"seed": 0, "model": {"layer_scale": 1e-6}, "data_fingerprint": "def"}
    records = [gelu_like("gelu", 60.0, 0), gelu_like("gelu", 50.0, 0, **elsewhere)]
    records += [gelu_like("convnext", 61.0, 0, config=config)]
    runs = write_study(tmp_path / "runs", records)
    for words, message in (
        (("gelu", "convnext"), "'gelu' was run in cifar10_micro (size micro), digits (size micro); choose one by"),
        (
            ("gelu", "convnext", "--protocol", "digits"),
            "evaluated on different images (data_fingerprint: gelu abc, convnext def)",
        ),
    ):
        result = run_command("compare", *words, "--runs", runs)
        assert (result.returncode, result.stdout) == (2, "")
        assert message in result.stderr


@pytest.mark.parametrize(
    "words", [("layer_norm", "step=='gelu' and seed<1", "gelu"), ("seed<1 and step=='gelu'", "seed>=1")]
)
def test_a_variant_with_other_seeds_under_two_words_is_refused(study, words):
    """One of the two would be lost: they are one row."""
    result = run_command("compare", *words, "--runs", study)
    assert (result.returncode, result.stdout) == (2, "")
    assert f'"{words[-1]}" selects runs of gelu with other seeds than a word before it' in result.stderr


def test_rows_have_the_length_of_the_training(study):
    assert [row["epochs"] for row in compare("gelu", "layer_norm", runs=study)] == [2, 2]
