"""`modernet figures` writes what the records allow, and reports the rest."""

from helpers import run_command
from records import make_record, write_study


def test_figures_command_writes_figures_and_reports_skipped_ones(tmp_path):
    records = [make_record(step, 60.0 + seed, seed) for step in ("gelu", "fewer_activations") for seed in (0, 1)]
    records += [make_record("gelu", 60.0, 0, "gelu+recipe.epochs=3")]
    runs = write_study(tmp_path / "runs", records)
    result = run_command("figures", runs)
    names = ["roadmap", "pareto", "differences", "curves"]
    expected = [runs / "figures" / f"digits-micro-{name}.{suffix}" for name in names for suffix in ("svg", "png")]
    assert result.stdout.splitlines() == [str(path) for path in expected]
    assert all(path.stat().st_size for path in expected)
    assert result.stderr.splitlines() == [
        "skipped: digits, size micro: no kernel_size: fewer than two kernel sizes of move_up_depthwise were run",
        "skipped: digits, size micro, recipe.epochs=3: figures are drawn for unchanged protocols only",
    ]
    for arguments, message in (
        (["--curves", "gleu"], "there is no record of 'gleu'; allowed: gelu, fewer_activations, gelu+recipe.epochs=3"),
        (["--protocol", "imagenet"], "there is no finished record of protocol imagenet"),
        (["--config-dir", tmp_path / "none"], "--config-dir must name a folder"),
    ):
        result = run_command("figures", runs, *arguments)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.startswith(f"figures.py: error: {message}")
