"""Annotations in source code read as kinds of values: `Annotated[int, Between(1, "num_ranks")]` and its like."""

import ast
from collections.abc import Mapping

from ordinalclip.signatures import kinds
from ordinalclip.signatures.kinds import Between, Kind
from ordinalclip.signatures.source import Definition, Module, find

_LISTS = ("list", "List", "Sequence", "MutableSequence", "Iterable", "Collection", "set", "frozenset", "tuple", "Tuple")
_MAPPINGS = ("dict", "Dict", "Mapping", "MutableMapping")
_PLAIN = {
    "int": kinds.INTEGER,
    "float": kinds.NUMBER,
    "bool": kinds.SWITCH,
    "str": kinds.TEXT,
    "Path": kinds.PATH,
    "PathLike": kinds.PATH,
    "None": kinds.NULL,
    **dict.fromkeys(_LISTS, kinds.LIST),
    **dict.fromkeys(_MAPPINGS, kinds.MAPPING),
}


def read_annotation(node: ast.expr | None, scope: Module, known: Mapping[str, float]) -> Kind | None:
    """The values an annotation allows.

    Args:
        node: the annotation as it stands in the source.
        scope: the module it stands in, for names of its own such as `Position = Literal["tail", "front"]`.
        known: quantities that string bounds of `Between` may name; those not among them are not tested.

    Returns:
        The kind, or None where the annotation is absent or not one of a yaml's types: then anything goes.
    """
    match node:
        case ast.Constant(value=None):
            return kinds.NULL
        case ast.Constant(value=str(source)):  # a forward reference
            return read_annotation(ast.parse(source, mode="eval").body, scope, known)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _union([read_annotation(side, scope, known) for side in (left, right)])
        case ast.Subscript(value=generic, slice=inner):
            arguments = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            return _generic(_last_name(generic), arguments, scope, known)
        case ast.Attribute():
            return _PLAIN.get(_last_name(node))
        case ast.Name(id=name):
            return _PLAIN[name] if name in _PLAIN else _alias(name, scope, known)
    return None


def _alias(name: str, scope: Module, known: Mapping[str, float]) -> Kind | None:
    match find(scope, name):
        case Definition(module=module, node=ast.Assign(value=value) | ast.AnnAssign(value=ast.expr() as value)):
            return read_annotation(value, module, known)
    return None


def _generic(name: str, arguments: list[ast.expr], scope: Module, known: Mapping[str, float]) -> Kind | None:
    if name == "Literal":
        constants = [argument.value for argument in arguments if isinstance(argument, ast.Constant)]
        return kinds.one_of(constants) if len(constants) == len(arguments) else None
    if name == "Annotated":
        return _annotated(arguments, scope, known)
    read = [read_annotation(argument, scope, known) for argument in arguments]
    if name in ("Optional", "Union"):
        return _union([*read, kinds.NULL] if name == "Optional" else read)
    if name in ("tuple", "Tuple") and ast.unparse(arguments[-1]) != "...":
        return kinds.row_of(read)
    if name in _LISTS:
        return kinds.LIST if read[0] is None else kinds.list_of(read[0])
    if name in _MAPPINGS:
        return kinds.MAPPING if read[-1] is None else kinds.mapping_of(read[-1])
    return None


def _annotated(arguments: list[ast.expr], scope: Module, known: Mapping[str, float]) -> Kind | None:
    kind = read_annotation(arguments[0], scope, known)
    for extra in arguments[1:]:
        if kind is None or not isinstance(extra, ast.Call) or _last_name(extra.func) != "Between":
            continue
        try:
            positional = [ast.literal_eval(argument) for argument in extra.args]
            named = {one.arg: ast.literal_eval(one.value) for one in extra.keywords if one.arg is not None}
        except ValueError:
            # For us, not for users: a range that nobody can read would be a range that nobody enforces.
            raise TypeError(f"bounds of {ast.unparse(extra)} must be written as plain numbers or names") from None
        kind = kinds.between(kind, Between(*positional, **named), known)
    return kind


def _union(members: list[Kind | None]) -> Kind | None:
    known_members = [kind for kind in members if kind is not None]
    return kinds.any_of(known_members) if len(known_members) == len(members) else None


def _last_name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
