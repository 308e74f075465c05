import ast
from collections.abc import Mapping
from pathlib import Path

import pytest

from ordinalclip.config.kinds import Kind, read_annotation
from ordinalclip.config.source import Module

NAMES = {"Size": ast.parse("Size = Annotated[int, Between(1, None)]").body[0]}


def read(annotation: str, known: Mapping[str, float] | None = None) -> Kind | None:
    return read_annotation(ast.parse(annotation, mode="eval").body, Module("m", Path("m.py"), NAMES), known or {})


@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [
        ("int", [0, -3], [True, 1.0, "1", None, [1]]),
        ("float", [0, 1.5], [True, "1.5", None]),
        ("bool", [True, False], [0, 1, "true"]),
        ("str", ["", "a"], [1, None]),
        ("None", [None], [0, False]),
        ("int | None", [1, None], ["None", 1.5]),
        ("'int | None'", [1, None], ["None"]),
        ("Optional[float]", [1, None], ["x"]),
        ("Union[str, list[str]]", ["a", ["a"], []], [1, [1]]),
        ("Literal['a', 1, None]", ["a", 1, None], ["b", True, 1.0]),
        ("list[int]", [[], [1]], [1, ["a"], [1.0], "12", {}]),
        ("Sequence[float]", [[1, 2.5], (1,)], ["12", ["1"]]),
        ("collections.abc.Sequence", [[1, "a"]], ["ab", 3]),
        ("tuple[int, ...]", [[1, 2, 3], []], [["a"]]),
        ("tuple[int, str]", [[1, "a"]], [[1], [1, 2], [1, "a", 3], "1a"]),
        ("dict[str, float]", [{}, {"a": 1}], [{"a": "b"}, [1]]),
        ("Mapping", [{}], [[]]),
        ("Path | None", ["a/b", Path("a"), None], [1]),
        ("Annotated[float, Between(0, 1)]", [0, 1, 0.5], [-0.1, 1.1, "0.5", float("nan")]),
        ("Annotated[int, Between(low=1, high=None)]", [1, 10**9], [0, 1.5]),
        ("Annotated[int, Between(-2, None)] | None", [-2, None], [-3]),
        ("Annotated[int | None, Between(1, 3)]", [1, None], [0, 4]),
        ("Annotated[int, 'a note', Between(1, 3)]", [1], [4]),
        ("Annotated[int, Between(2, 'num_ranks')]", [2, 5], [1, 6]),
        ("Annotated[int, Between(1, 'not_known')]", [1, 10**6], [0]),
        ("Size", [1], [0, "a"]),
        ("Size | None", [1, None], [0]),
    ],
)
def test_values(annotation: str, good: list, bad: list) -> None:
    kind = read(annotation, {"num_ranks": 5})
    assert kind is not None
    assert [value for value in good if not kind.accepts(value)] == []
    assert [value for value in bad if kind.accepts(value)] == []


@pytest.mark.parametrize(
    "annotation", ["Any", "nn.Module", "TextTower", "int | TextTower", "Callable[[int], int]", "3"]
)
def test_other_annotations_are_not_tested(annotation: str) -> None:
    assert read(annotation) is None


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        ("Annotated[int, Between(1, None)]", "an integer, 1 or more"),
        ("Annotated[float, Between(None, 0.5)]", "a number, 0.5 or less"),
        ("Annotated[int, Between(1, 'num_ranks')]", "an integer from 1 to num_ranks (5)"),
        ("Annotated[int, Between(1, 'later')]", "an integer from 1 to later"),
        ("Literal['a', 'b'] | None", "a, b or null"),
        ("tuple[int, TextTower]", "a list of 2: an integer, anything"),
    ],
)
def test_words(annotation: str, words: str) -> None:
    kind = read(annotation, {"num_ranks": 5})
    assert kind is not None
    assert kind.words == words


def test_a_bound_that_cannot_be_read_is_a_mistake_of_the_programmer() -> None:
    annotation = ast.parse("Annotated[int, Between(1, 2**31 - 1)]", mode="eval").body
    with pytest.raises(TypeError, match="plain numbers"):
        read_annotation(annotation, Module("m", Path("m.py"), {}), {})
