"""`modernet costs` with steps of the user; tests/models/test_flops.py checks its numbers."""

import json

from helpers import MAIN_PATH, run_command


def test_costs_list_side_steps_behind_their_parent(config_dir):
    rows = json.loads(run_command("costs", "--size", "micro", "--config-dir", config_dir, "--json").stdout)
    names = [row["step"] for row in rows]
    assert names[names.index("gelu") + 1] == "wide"
    assert names[names.index("convnext") :][:4] == ["convnext", "conv_stem", "deep", "grn"]
    assert set(names) - {"wide", "deep"} >= set(MAIN_PATH)
    wide = rows[names.index("wide")]
    assert list(wide)[:5] == ["step", "params", "gmacs", "paper_gmacs", "paper_top1"]
    assert (wide["paper_gmacs"], wide["paper_top1"]) == (None, None)
    assert wide["gmacs"] > rows[names.index("gelu")]["gmacs"]


def test_an_unknown_size_is_a_user_error():
    result = run_command("costs", "--size", "xl")
    assert (result.returncode, result.stderr) == (
        2,
        "costs.py: error: --size must be one of atto, b, femto, micro, nano, pico, t, got 'xl'\n",
    )
