"""`modernet report` finds its studies, and writes a whole file or none."""

from pathlib import Path

import pytest
from helpers import ROOT, run_command
from records import make_record, network, write_study

from modernet.report.studies import default_folders, display_path, load_studies


def test_default_folders_are_the_runs_or_the_committed_studies(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("studies/b", "studies/a"):
        write_study(tmp_path / "results" / name, [make_record("gelu", 1.0)])
    assert default_folders() == [Path("results/studies/a"), Path("results/studies/b")]
    write_study(tmp_path / "results/runs", [make_record("gelu", 1.0)])
    assert default_folders() == [Path("results/runs")]
    (tmp_path / "results/attribution").mkdir()
    assert default_folders() == [Path("results/runs"), Path("results/attribution")]


def test_display_path_is_relative_or_a_bare_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert display_path(Path("results/runs")) == "results/runs"
    assert display_path(Path("/elsewhere/of/mine")) == "mine"


def test_report_command_writes_a_whole_file_or_none(tmp_path):
    folder = write_study(tmp_path / "my_runs", [make_record("gelu", 70.0), make_record("gelu", 70.0)])
    out = tmp_path / "report.html"
    result = run_command("report", folder, "--out", out)
    assert (result.returncode, result.stdout) == (0, f"{out}\n")
    assert result.stderr == (
        "excluded: my_runs: gelu-1/record.json: gelu with seed 0 a second time; the first is gelu-0/record.json\n"
    )
    page = out.read_text(encoding="utf-8")
    assert "modernet report my_runs" in page
    (tmp_path / "empty").mkdir()
    for arguments, message in (
        ([tmp_path / "empty"], f"there is no finished record below {tmp_path / 'empty'}"),
        ([tmp_path / "none"], f"there is no folder {tmp_path / 'none'}"),
        ([folder, "--protocol", "imagenet"], f"there is no finished record of protocol imagenet below {folder}"),
        (
            [folder, "--out", tmp_path / "none/report.html"],
            f"there is no folder {tmp_path / 'none'} to write report.html to; --out",
        ),
        ([folder, "--config-dir", tmp_path / "none"], "--config-dir must name a folder"),
    ):
        result = run_command("report", *(["--out", out] if "--out" not in arguments else []), *arguments)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.startswith(f"report.py: error: {message}")
        assert len(result.stderr.splitlines()) == 1
    assert out.read_text(encoding="utf-8") == page
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "my_runs", "report.html"]


def test_a_users_step_is_a_row_of_figures_and_report(tmp_path):
    (tmp_path / "configs/step").mkdir(parents=True)
    step = "# @package _global_\n# A larger kernel\ndefaults: [/step/kernel_size, _self_]\nstep: wider_kernel\n"
    (tmp_path / "configs/step/wider_kernel.yaml").write_text(f"{step}model: {{kernel_size: 9}}\n")
    records = [
        make_record(name, level + seed / 10, seed, config={"seed": seed, "model": model})
        for name, level, model in (
            ("kernel_size", 70.0, network("kernel_size")),
            ("wider_kernel", 71.0, network("kernel_size") | {"kernel_size": 9}),
            ("gelu", 70.0, network("gelu")),
        )
        for seed in (0, 1)
    ]
    folder, out = write_study(tmp_path / "runs", records), tmp_path / "report.html"
    result = run_command("report", folder, "--out", out, "--config-dir", tmp_path / "configs")
    assert (result.returncode, result.stderr) == (0, "")
    page = out.read_text(encoding="utf-8")
    assert "Wider kernel +1.00 [" in page
    assert "<title>wider_kernel\ntop-1 71.05" in page
    assert "--config-dir configs" in page
    [study] = load_studies([folder])
    assert [line.split(": ")[1][:31] for line in study.excluded] == ["there is no step 'wider_kernel'"] * 2


@pytest.mark.slow
def test_committed_studies_make_a_report_without_paths_of_this_machine(tmp_path):
    folders = sorted(path for path in (ROOT / "results/studies").iterdir() if path.is_dir())
    result = run_command("report", *folders, "--out", tmp_path / "report.html")
    assert (result.returncode, result.stderr) == (0, "")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for folder in folders:
        assert f"<code>results/studies/{folder.name}</code>" in page or f"<code>{folder.name}</code>" in page
    assert str(ROOT) not in page
