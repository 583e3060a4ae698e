"""`modernet figures` writes what the records allow, and reports the rest."""

import json
from pathlib import Path

from helpers import run_command
from records import make_record, write_study

STEPS = ("gelu", "fewer_activations", "fewer_norms")


def study(folder: Path, changes: str = "", **fields) -> Path:
    records = [
        make_record(step, 60.0 + 5 * number + 0.1 * seed, seed, step + changes, gmacs=0.01 + number / 1000, **fields)
        for number, step in enumerate(STEPS)
        for seed in (0, 1)
    ]
    return write_study(folder, records)


def test_figures_command_writes_figures_and_reports_skipped_ones(tmp_path):
    runs = study(tmp_path / "runs")
    write_study(runs / "more", [make_record("gelu", 60.0, 0, "gelu+recipe.epochs=3")])
    result = run_command("figures", runs, "--benchmarks", tmp_path)
    names = ["roadmap", "pareto", "differences"]
    expected = [
        runs / "figures" / f"digits-micro-{name}.{suffix}" for name in names for suffix in ("svg", "png", "pdf")
    ]
    assert result.stdout.splitlines() == [str(path) for path in expected]
    assert all(path.stat().st_size for path in expected)
    assert result.stderr.splitlines() == [
        "skipped: digits, size micro: no kernel_size: fewer than three kernel sizes of a step were run",
        f"skipped: digits, size micro: no pareto_speed: {tmp_path} has no speeds of these networks, and the "
        "records do not name their machine",
        "skipped: digits, size micro: no curves: the runs have fewer than 3 epochs and no steps.jsonl",
        "skipped: digits, size micro, recipe.epochs=3: no figures: gelu is its only variant",
    ]
    for arguments, message in (
        (["--curves", "gleu"], f"there is no record of 'gleu'; allowed: {', '.join(STEPS)}, gelu+recipe.epochs=3"),
        (["--protocol", "imagenet"], "there is no finished record of protocol imagenet"),
        (["--config-dir", tmp_path / "none"], "--config-dir must name a folder"),
    ):
        result = run_command("figures", runs, *arguments)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.startswith(f"figures.py: error: {message}")


def test_side_studies_have_figures_and_names_of_the_users_configs(tmp_path):
    runs = study(tmp_path / "runs", "+recipe.lr=0.01", epochs=16)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/names.yaml").write_text("step: {gelu: Gaussian}\nprotocol: {digits: Ziffern}\n")
    arguments = ("--config-dir", tmp_path / "configs", "--column")
    result = run_command("figures", runs, *arguments)
    svg = runs / "figures/digits-micro-recipe.lr-0.01-roadmap.svg"
    assert str(svg) in result.stdout.splitlines()
    text = svg.read_text()
    assert ">Gaussian</text>" in text
    assert ">Ziffern, 16 epochs, size micro, learning" in text
    bare = run_command("figures", runs, *arguments, "--no-title", "--out", tmp_path / "bare")
    assert "Ziffern" not in (tmp_path / "bare" / svg.name).read_text()
    assert bare.returncode == 0


def test_speed_is_that_of_the_benchmarks_or_of_runs_on_one_machine(tmp_path):
    rows = [
        {
            "step": step,
            "size": "micro",
            "pixels": 8,
            "batch": 64,
            "gmacs": 0.01 + number / 1000,
            "train_images_per_second": 1000.0 + number,
            "inference_images_per_second": 3000.0,
            "latency_ms": 1.0,
            "memory_mib_per_image": 1.0,
            "network": "0123456789",
        }
        for number, step in enumerate(STEPS)
    ]
    part = {"steps": {"about": {"device": "Quick GPU", "threads": 2}, "rows": rows}}
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks/other.json").write_text('{"parts": {"input": {}}}')
    (tmp_path / "benchmarks/gpu.json").write_text(json.dumps({"parts": part}))

    def caption(runs: Path, benchmarks: str) -> str:
        result = run_command("figures", runs, "--benchmarks", tmp_path / benchmarks)
        path = runs / "figures/digits-micro-pareto_speed.svg"
        return path.read_text() if path.is_file() else result.stderr

    config = {"data": {"image_size": 8}}
    assert "the benchmark on Quick GPU, 2 threads, batch size 64" in caption(
        study(tmp_path / "a", config=config), "benchmarks"
    )
    other = study(tmp_path / "b", config={"data": {"image_size": 32}})  # of other images than the benchmark's
    assert "no pareto_speed" in caption(other, "benchmarks")
    named = study(tmp_path / "c", cpu="Fast CPU", machine={"threads": 2})
    assert "all on Fast CPU (threads 2)" in caption(named, "none")
    write_study(named / "more", [make_record("gelu", 60.2, 2, cpu="Slow CPU", gmacs=0.01)])
    (named / "figures/digits-micro-pareto_speed.svg").unlink()
    assert "the records are of 2 kinds of machine" in caption(named, "none")


def test_figures_that_the_records_no_longer_allow_are_removed(tmp_path):
    runs = study(tmp_path / "runs")
    assert run_command("figures", runs).returncode == 0
    folder = runs / "figures"
    (folder / "mine.svg").touch()
    assert len(list(folder.iterdir())) == 10
    for path in runs.glob("fewer_*/record.json"):
        path.unlink()
    result = run_command("figures", runs)
    assert result.stderr == "skipped: digits, size micro: no figures: gelu is its only variant\n"
    assert list(folder.iterdir()) == [folder / "mine.svg"]
