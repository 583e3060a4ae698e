"""Mistakes in Hydra's grammar of overrides, explained with a form that works."""

import re
import shlex
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

NAME = re.compile(r"[+~]{0,2}[A-Za-z_$][\w$@:/.-]*", re.ASCII)
BRACKETS = {"[": "]", "{": "}", "(": ")"}


def explain_override(word: str) -> str:
    """One line for a word of the command line that Hydra cannot parse."""
    name, equals, value = word.partition("=")
    if not equals:
        return f"'{word}' is no override; allowed: FIELD=VALUE, GROUP=NAME, +step=NAME; --help lists them"
    if not NAME.fullmatch(name):
        allowed = "letters, digits, '_' and '.', after '+' for what the config lacks"
        return f"'{name}' in {word} is no name of a field or group; names hold {allowed}"
    quoted = quote_override(name, value)
    if quoted is None:
        return f"{word} cannot be parsed; a value on the command line holds no line breaks"
    hint = ""
    for opening, closing in BRACKETS.items():
        if value.count(opening) != value.count(closing):
            hint = f"'{opening}' and '{closing}' do not match; "
    return f"{word} cannot be parsed: {hint}a text with such characters needs quotes inside of quotes: {quoted}"


def quote_override(name: str, value: str) -> str | None:
    """The override as a word for a shell, with the value as a text; None where no quotes make a text of it."""
    if value.startswith("~/"):  # a shell expands it only where it is not quoted
        value = str(Path(value).expanduser())
    escaped = value.replace("${", r"\${")
    for quote in "'\"":
        # Backslashes before a quote need another one each.
        inner = re.sub(
            rf"(\\*)({quote}|$)", lambda found: found[1] * 2 + (f"\\{found[2]}" if found[2] else ""), escaped
        )
        word = f"{name}={quote}{inner}{quote}"
        try:
            (parsed,) = OverridesParser.create().parse_overrides([word])
        except HydraException:
            continue
        if parsed.value() == escaped:
            return shlex.quote(word)
    return None
