"""A run keeps the name that it was trained under; a command that gives it another one says so."""

from dataclasses import replace

from helpers import compose
from records import make_record

from modernet.training.renamed import name_warnings


def test_a_line_for_each_finished_run_of_another_name(tmp_path):
    experiment = compose("+step=gelu")
    same, other = make_record("gelu", 60.0), make_record("convnext", 60.0)
    failed = replace(other, status="failed")
    assert name_warnings([(tmp_path, same, experiment), (tmp_path, failed, experiment)]) == []
    (line,) = name_warnings([(tmp_path, other, experiment)])
    assert line.endswith("is the run of gelu under another name, convnext, by which tables list it")
