"""What may be written for a setting: a test of values and the words for it."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace


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
    """A kind whose numbers lie in a range; bounds that name an unknown quantity are told, but not tested."""
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
    """A list of fixed length, place by place; None stands for anything."""

    def accepts(value: object) -> bool:
        if not LIST.accepts(value) or not isinstance(value, Sequence) or len(value) != len(items):
            return False
        return all(kind is None or kind.accepts(one) for kind, one in zip(items, value, strict=True))

    words = ", ".join("anything" if kind is None else kind.words for kind in items)
    return Kind(f"a list of {len(items)}: {words}", accepts)


def _bound_words(bound: float | str | None, known: Mapping[str, float]) -> str:
    return f"{bound} ({known[bound]:g})" if isinstance(bound, str) and bound in known else str(bound)
