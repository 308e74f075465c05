"""Kinds of setting values: a test of a value, and the words that describe what is allowed.

`Between` and `Literal` annotations are written in signatures; `read_annotation` reads them from source code, such as
`Annotated[int, Between(1, "num_ranks")]`.
"""

import ast
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ordinalclip.config.source import Definition, Module, find_definition


@dataclass(frozen=True)
class Between:
    """Closed range for a number; a string bound is a quantity known later, such as `num_ranks`."""

    low: float | str | None
    high: float | str | None


@dataclass(frozen=True)
class Kind:
    """What may be written for a setting.

    Attributes:
        words: the allowed values as a noun phrase, such as "an integer of 1 or more".
        accepts: whether a value is one of them.
        choices: the strings to choose from, if these are all it takes.
        is_text: whether some text is among the allowed values.
    """

    words: str
    accepts: Callable[[object], bool]
    choices: tuple[str, ...] = ()
    is_text: bool = False


def is_number(value: object) -> bool:
    """Whether a value is a number; `True` is not one, though Python counts it as 1."""
    return isinstance(value, int | float) and not isinstance(value, bool)


INTEGER = Kind("an integer", lambda value: isinstance(value, int) and not isinstance(value, bool))
NUMBER = Kind("a number", is_number)
SWITCH = Kind("true or false", lambda value: isinstance(value, bool))
TEXT = Kind("text", lambda value: isinstance(value, str), is_text=True)
PATH = Kind("a path", lambda value: isinstance(value, str | os.PathLike), is_text=True)
NULL = Kind("null", lambda value: value is None)
LIST = Kind("a list", lambda value: isinstance(value, Sequence) and not isinstance(value, str | bytes))
MAPPING = Kind("a mapping", lambda value: isinstance(value, Mapping))


def one_of(allowed: Sequence[object]) -> Kind:
    """Exactly these constants; types count, since 1 equals both True and 1.0."""
    texts = tuple(value for value in allowed if isinstance(value, str))
    return Kind(
        ", ".join("null" if value is None else str(value) for value in allowed),
        lambda value: any(type(value) is type(choice) and value == choice for choice in allowed),
        choices=texts if len(texts) == len(allowed) else (),
        is_text=bool(texts),
    )


def between(kind: Kind, bounds: Between, known: Mapping[str, float]) -> Kind:
    """A kind whose numbers lie in a range; bounds that name an unknown quantity are described but not tested."""
    low, high = bounds.low, bounds.high
    least, most = (known.get(bound) if isinstance(bound, str) else bound for bound in (low, high))

    def accepts(value: object) -> bool:
        if not kind.accepts(value):
            return False
        if not isinstance(value, int | float):
            return True
        return (least is None or value >= least) and (most is None or value <= most)

    first, last = _bound_words(low, known), _bound_words(high, known)
    if low is not None and high is not None:
        words = f" from {first} to {last}"
    elif low is not None:
        words = f", {first} or more"
    else:
        words = f", {last} or less" if high is not None else ""
    return replace(kind, words=kind.words + words, accepts=accepts)


def any_of(kinds: Iterable[Kind]) -> Kind:
    """Whatever one of the kinds accepts."""
    members = list(kinds)
    return Kind(
        " or ".join(kind.words for kind in members),
        lambda value: any(kind.accepts(value) for kind in members),
        tuple(choice for kind in members for choice in kind.choices),
        any(kind.is_text for kind in members),
    )


def list_of(item: Kind) -> Kind:
    """A list whose items are all of one kind."""

    def accepts(value: object) -> bool:
        return LIST.accepts(value) and isinstance(value, Sequence) and all(item.accepts(one) for one in value)

    return Kind(f"a list, each item {item.words}", accepts)


def mapping_of(item: Kind) -> Kind:
    """A mapping whose values are all of one kind."""

    def accepts(value: object) -> bool:
        return isinstance(value, Mapping) and all(item.accepts(one) for one in value.values())

    return Kind(f"a mapping, each value {item.words}", accepts)


def row_of(items: Sequence[Kind | None]) -> Kind:
    """A list of fixed length, item by item; None accepts anything."""

    def accepts(value: object) -> bool:
        if not LIST.accepts(value) or not isinstance(value, Sequence) or len(value) != len(items):
            return False
        return all(kind is None or kind.accepts(one) for kind, one in zip(items, value, strict=True))

    words = ", ".join("anything" if kind is None else kind.words for kind in items)
    return Kind(f"a list of {len(items)}: {words}", accepts)


def _bound_words(bound: float | str | None, known: Mapping[str, float]) -> str:
    return f"{bound} ({known[bound]:g})" if isinstance(bound, str) and bound in known else str(bound)


_LISTS = ("list", "List", "Sequence", "MutableSequence", "Iterable", "Collection", "set", "frozenset", "tuple", "Tuple")
_MAPPINGS = ("dict", "Dict", "Mapping", "MutableMapping")
_PLAIN = {
    "int": INTEGER,
    "float": NUMBER,
    "bool": SWITCH,
    "str": TEXT,
    "Path": PATH,
    "PathLike": PATH,
    "None": NULL,
    **dict.fromkeys(_LISTS, LIST),
    **dict.fromkeys(_MAPPINGS, MAPPING),
}


def read_annotation(node: ast.expr | None, scope: Module, known: Mapping[str, float]) -> Kind | None:
    """The values an annotation allows.

    Args:
        node: the annotation in the source.
        scope: its module, for names of its own such as `Position = Literal["tail", "front"]`.
        known: quantities that string bounds of `Between` may name; those not among them are not tested.

    Returns:
        The kind, or None where the annotation is absent or not one of a yaml's types: then anything goes.
    """
    match node:
        case ast.Constant(value=None):
            return NULL
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
    match find_definition(scope, name):
        case Definition(module=module, node=ast.Assign(value=value) | ast.AnnAssign(value=ast.expr() as value)):
            return read_annotation(value, module, known)
    return None


def _generic(name: str, arguments: list[ast.expr], scope: Module, known: Mapping[str, float]) -> Kind | None:
    if name == "Literal":
        constants = [argument.value for argument in arguments if isinstance(argument, ast.Constant)]
        return one_of(constants) if len(constants) == len(arguments) else None
    if name == "Annotated":
        return _annotated(arguments, scope, known)
    read = [read_annotation(argument, scope, known) for argument in arguments]
    if name in ("Optional", "Union"):
        return _union([*read, NULL] if name == "Optional" else read)
    if name in ("tuple", "Tuple") and ast.unparse(arguments[-1]) != "...":
        return row_of(read)
    if name in _LISTS:
        return LIST if read[0] is None else list_of(read[0])
    if name in _MAPPINGS:
        return MAPPING if read[-1] is None else mapping_of(read[-1])
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
            # An error for developers: a range that cannot be read would not be enforced.
            raise TypeError(f"bounds of {ast.unparse(extra)} must be written as plain numbers or names") from None
        kind = between(kind, Between(*positional, **named), known)
    return kind


def _union(members: list[Kind | None]) -> Kind | None:
    known_members = [kind for kind in members if kind is not None]
    return any_of(known_members) if len(known_members) == len(members) else None


def _last_name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
