"""Filters of records: fields with dots, a few comparisons, and nothing that runs code."""

from pathlib import Path

import pytest
from records import make_record

from modernet.analysis.where import is_filter, parse_where
from modernet.errors import UserError
from modernet.record import Record

CONFIG = {
    "seed": 2,
    "model": {"act": "gelu", "depths": [3, 3, 9, 3], "depthwise": True},
    "recipe": {"epochs": 16, "lr": 1e-3},
    "data_fingerprint": "abc",
}
RECORD = make_record(
    "gelu", 71.5, 2, config=CONFIG, machine={"devices": 4}, versions={"torch": "2.15"}, ended="2026-03-01T10:00:00"
)


def matches(text: str, *records: Record) -> list[bool]:
    """Whether the filter selects each of these records."""
    by_path = {Path(str(number)): record for number, record in enumerate(records)}
    selected = parse_where(text).select(by_path)
    return [path in selected for path in by_path]


@pytest.mark.parametrize(
    "text",
    [
        "seed<3 and recipe.epochs==16",
        "0 <= seed <= 2",
        "not seed == 1",
        "seed==5 or variant=='gelu'",
        "recipe=='modern' and data=='digits'",
        "model.depths==[3,3,9,3]",
        "model.depths in ((3, 3, 9, 3), (3, 4, 6, 3))",
        "model.depthwise",
        "model.depthwise==true",
        "'gel' in variant",
        "seed in [1,2]",
        "seed not in (0, 1)",
        "machine.devices>1",
        "versions.torch=='2.15'",
        "ended>'2026-02'",
        "recipe.lr==0.001",
        "recipe.min_lr>-1",
        "recipe.ema_decay==0",  # a field younger than the record: its default
        "top1_ema==null",
        "not top1_ema>3",  # an unknown value is neither above nor below
        "data_fingerprint=='abc'",
        f"hash=='{RECORD.hash}'",
    ],
)
def test_filter_selects_the_records_for_which_it_holds(text):
    assert matches(text, RECORD) == [True]
    assert matches(f"not ({text})", RECORD) == [False]
    assert is_filter(text) or text == "model.depthwise"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("recipe.epoch==16", r"there is no field 'recipe\.epoch'; allowed: .*recipe\.epochs"),
        ("sed<3", r"there is no field 'sed'; allowed: .*seed.*recipe\.\*"),
        ("model.act==gelu", r"there is no field 'gelu'; .*texts need quotes"),
        ("seed=='2'", "2 is a number and '2' is a text"),
        ("model.depthwise==1", "True is true or false and 1 is a number"),
        ("seed in ['1', '2']", "2 is a number and '1' is a text"),
        ("seed in 3", "3 after `in` is neither a list nor a text"),
        ("seed", "seed is 2, neither true nor false"),
        ("seed and top1>3", "seed is 2, neither true nor false"),
    ],
)
def test_a_filter_that_does_not_fit_the_records_is_an_error(text, message):
    with pytest.raises(UserError, match=message):
        matches(text, RECORD)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "seed=3",
        "seed<",
        "__import__('os').system('true')",
        "variant.upper()=='GELU'",
        "(lambda: True)()",
        "[x for x in variant]",
        "seed+1==3",
        "variant[0]=='g'",
        "f'{seed}'=='2'",
        "seed is 2",
        "(seed:=3)==3",
        "b'a'==variant",
        "1j==seed",
        "'a'.b==1",
        "seed if seed else seed",
        "(" * 500 + "seed" + ")" * 500,
        "seed==2\x00",
        "-variant=='a'",
        "not " * 5000 + "seed==2",
    ],
)
def test_anything_but_comparisons_of_fields_is_refused(text):
    with pytest.raises(UserError, match="filter"):
        parse_where(text)
    assert not is_filter(text)


def test_a_field_that_only_some_records_have_is_unknown_in_the_others():
    other = make_record("gelu", 71.5, 2)
    assert matches("machine.devices==4", RECORD, other) == [True, False]
    assert matches("machine.devices!=4", RECORD, other) == [False, True]
