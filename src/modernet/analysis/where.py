"""Filters of records: `seed<3 and recipe.lr==0.01`, in Python's syntax, parsed and never executed."""

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from modernet.config.identity import NAMES, SCHEMAS, non_defaults, schema_defaults
from modernet.errors import UserError
from modernet.record import Record

ALLOWED = "fields, numbers, 'texts', [lists], ==, !=, <, <=, >, >=, in, not in, and, or, not"
CONSTANTS: dict[str, Any] = {"true": True, "false": False, "null": None}  # as in yaml; Python's own are literals
DICTIONARIES = ("machine", "metrics", "versions")  # fields of the record whose entries are fields of the filter
KINDS = {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list"}
ORDERS: dict[type, Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
EQUALITIES: dict[type, Callable[[Any, Any], bool]] = {ast.Eq: operator.eq, ast.NotEq: operator.ne}


@cache
def _defaults() -> dict[str, Any]:
    return {
        f"{section}.{name}": default
        for section, schema in SCHEMAS.items()
        for name, default in schema_defaults(schema).items()
    }


def record_fields(record: Record) -> dict[str, Any]:
    """The values that a filter can name: `top1`, `recipe.epochs`, `machine.devices`, `hash`, ...

    A field that is younger than the record has its default.
    """
    values = {**_defaults(), "finetune": None}
    for name, value in record.config.items():
        values |= {f"{name}.{key}": entry for key, entry in value.items()} if name in SCHEMAS else {name: value}
    for field in fields(record):
        value = getattr(record, field.name)
        if field.name in DICTIONARIES:
            values |= {f"{field.name}.{key}": entry for key, entry in value.items()}
        elif field.name != "config":
            values[field.name] = list(value) if isinstance(value, tuple) else value
    return values | {"hash": record.hash}


def record_settings(record: Record) -> dict[str, Any]:
    """Every field of network, recipe, data and starting weights that decides the result, or its default."""
    changed = {
        f"{section}.{name}": value
        for section in SCHEMAS
        for name, value in non_defaults(section, record.config[section]).items()
    }
    finetuned = {name: value for name, value in record.config.items() if name == "finetune"}
    return {name: value for name, value in _defaults().items() if name not in NAMES} | changed | finetuned


@dataclass(frozen=True)
class Where:
    """A parsed filter of records."""

    text: str
    tree: ast.expr

    def select(self, records: Mapping[Path, Record]) -> dict[Path, Record]:
        """The records that match.

        Raises UserError for a field that none of the records has, and where the filter compares values of two kinds,
        such as `seed=='0'`.
        """
        values = {path: record_fields(record) for path, record in records.items()}
        known = set().union(*values.values())
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Name | ast.Attribute) and (name := _dotted(node)) is not None:
                self._check_name(name, known)
        return {path: record for path, record in records.items() if self._condition(self.tree, values[path])}

    def _check_name(self, name: str, known: set[str]) -> None:
        is_prefix = any(other.startswith(f"{name}.") for other in known)  # visited as a part of a longer name, too
        if not known or name in known or name in CONSTANTS or is_prefix:
            return
        section = name.rpartition(".")[0]
        members = sorted(other for other in known if other.rpartition(".")[0] == section)
        if not members or not section:
            sections = sorted({other.partition(".")[0] for other in known if "." in other})
            members = [*sorted(other for other in known if "." not in other), *(f"{one}.*" for one in sections)]
        raise self._error(f"there is no field '{name}'; allowed: {', '.join(members)} (texts need quotes)")

    def _condition(self, node: ast.expr, values: Mapping[str, Any]) -> bool:
        result = self._evaluate(node, values)
        if not isinstance(result, bool):
            raise self._error(f"{ast.unparse(node)} is {result!r}, neither true nor false; compare it with a value")
        return result

    def _evaluate(self, node: ast.expr, values: Mapping[str, Any]) -> Any:
        match node:
            case ast.BoolOp(op=ast.And()):
                return all(self._condition(operand, values) for operand in node.values)
            case ast.BoolOp():
                return any(self._condition(operand, values) for operand in node.values)
            case ast.UnaryOp(op=ast.Not()):
                return not self._condition(node.operand, values)
            case ast.UnaryOp(operand=ast.Constant(value=number)):
                return -number  # pyright: ignore  # parse_where lets only numbers have a sign
            case ast.Compare():
                terms = [self._evaluate(term, values) for term in (node.left, *node.comparators)]
                return all(map(self._compare, node.ops, terms, terms[1:]))
            case ast.List() | ast.Tuple():
                return [self._evaluate(element, values) for element in node.elts]
            case ast.Constant():
                return node.value
        name = _dotted(node)
        assert name is not None, "parse_where checks every node"
        return CONSTANTS[name] if name in CONSTANTS else values.get(name)

    def _compare(self, operation: ast.cmpop, left: Any, right: Any) -> bool:
        if isinstance(operation, ast.In | ast.NotIn):
            if not isinstance(right, list | str):
                raise self._error(f"{right!r} after `in` is neither a list nor a text")
            others = [right] if isinstance(right, str) else right
        else:
            others = [right]
        for other in others:
            self._check_kinds(left, other)
        if isinstance(operation, ast.In | ast.NotIn):
            return (left is not None and left in right) == isinstance(operation, ast.In)
        if type(operation) in EQUALITIES:
            return EQUALITIES[type(operation)](left, right)
        return left is not None and right is not None and ORDERS[type(operation)](left, right)

    def _check_kinds(self, left: Any, right: Any) -> None:
        """None, an unknown value, can be compared with everything."""
        kinds = [KINDS.get(type(value), "an entry") for value in (left, right) if value is not None]
        if len(set(kinds)) > 1:
            raise self._error(f"{left!r} is {kinds[0]} and {right!r} is {kinds[1]}; compare values of one kind")

    def _error(self, problem: str) -> UserError:
        return UserError(f'filter "{self.text}": {problem}')


def _dotted(node: ast.AST) -> str | None:
    """`recipe.epochs` of the nodes of a name with dots; None for any other node."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (owner := _dotted(node.value)) is not None:
        return f"{owner}.{node.attr}"
    return None


def _is_allowed(node: ast.expr) -> bool:
    match node:
        case ast.BoolOp() | ast.UnaryOp(op=ast.Not()) | ast.Compare() | ast.List() | ast.Tuple():
            identities = [op for op in getattr(node, "ops", []) if isinstance(op, ast.Is | ast.IsNot)]
            return not identities and all(
                _is_allowed(child) for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)
            )
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=value)):
            return type(value) in (int, float)
        case ast.Constant(value=value):
            return value is None or type(value) in KINDS
    return _dotted(node) is not None


def parse_where(text: str) -> Where:
    """The filter that a text describes. Raises UserError for anything but comparisons of fields."""
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        allowed = _is_allowed(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UserError(
            f'filter "{text}" is not an expression such as "seed<3 and recipe.epochs==16"; allowed: {ALLOWED}'
        ) from error
    if not allowed:
        raise UserError(f'filter "{text}" has more than comparisons of fields; allowed: {ALLOWED}')
    return Where(text, tree)


def is_filter(text: str) -> bool:
    """Whether a text is a condition, and not a name."""
    try:
        tree = parse_where(text).tree
    except UserError:
        return False
    return isinstance(tree, ast.Compare | ast.BoolOp | ast.UnaryOp)
