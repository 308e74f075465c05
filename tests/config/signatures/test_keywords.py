from collections.abc import Callable

import pytest

from ordinalclip.config.signatures import Signature, imported_signature, source_signature
from ordinalclip.config.source import find_definition, split_target

SOURCE = """
from abc import ABC
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple, TYPE_CHECKING
import torch

if TYPE_CHECKING:
    from elsewhere import Thing

class Bare(torch.nn.Module): ...
class Parent(ABC):
    def __init__(self, a: int, b: int = 1): ...
class Child(Parent): ...
class Unknown(torch.nn.Linear): ...
@dataclass(frozen=True)
class Record:
    a: int
    b: str = "x"
    c: ClassVar[int] = 3
    d: list = field(default_factory=list)
    e: int = field(init=False)
class Row(NamedTuple):
    a: int
    b: int = 2
class Factory:
    @classmethod
    def make(cls, a: int): ...
    @staticmethod
    def build(a: int, *, b: int = 1): ...
def function(a, /, b, c=1, *rest, d, e=2, **others): ...
made = function(1, 2, d=3)
"""


def signature(package: str, name: str) -> Signature | None:
    module, (first, *rest), _ = split_target(f"{package}.code.{name}")
    assert module is not None
    found = find_definition(module, first)
    assert found is not None
    return source_signature(found, rest)


@pytest.mark.parametrize(
    ("name", "required", "optional"),
    [
        ("Bare", "", ""),
        ("Parent", "a", "b"),
        ("Child", "a", "b"),
        ("Record", "a", "bd"),
        ("Row", "a", "b"),
        ("Factory.make", "a", ""),
        ("Factory.build", "a", "b"),
        ("function", "bd", "ce"),
    ],
)
def test_own_keywords(own_package: Callable, name: str, required: str, optional: str) -> None:
    read = signature(own_package(code=SOURCE), name)
    assert read is not None
    assert "".join(sorted(one for one, parameter in read.parameters.items() if parameter.required)) == required
    assert "".join(sorted(one for one, parameter in read.parameters.items() if not parameter.required)) == optional
    assert read.is_open == (name == "function")


@pytest.mark.parametrize("name", ["Unknown", "made", "Factory.nothing", "torch", "Thing"])
def test_what_the_source_does_not_tell(own_package: Callable, name: str) -> None:
    assert signature(own_package(code=SOURCE), name) is None


def test_reexports_are_followed(own_package: Callable) -> None:
    package = own_package(
        code=SOURCE, __init__="from .code import function as work", part__deep="from ..code import Parent\nx: int = 1"
    )
    module, rest, _ = split_target(f"{package}.work")
    assert module is not None
    found = find_definition(module, rest[0])
    assert found is not None
    assert found.module.name == f"{package}.code"
    (module_of_child, _, _) = split_target(f"{package}.part.deep.Parent")
    assert module_of_child is not None
    parent = find_definition(module_of_child, "Parent")
    assert parent is not None
    assert source_signature(parent, []) is not None
    assert find_definition(module_of_child, "nothing") is None


def test_circular_reexports_end(own_package: Callable) -> None:
    name = own_package()
    own_package(one=f"from {name}.two import x", two=f"from {name}.one import x")
    module, rest, _ = split_target(f"{name}.one.x")
    assert module is not None
    assert find_definition(module, rest[0]) is None


def test_foreign_keywords() -> None:
    read = imported_signature("fractions.Fraction.limit_denominator")
    assert read is not None
    assert list(read.parameters) == ["self", "max_denominator"]
    assert imported_signature("builtins.dict") is None
    opened = imported_signature("logging.config.DictConfigurator")
    assert opened is not None
    with pytest.raises(ImportError):
        imported_signature("logging.nothing.Here")
    with pytest.raises(AttributeError):
        imported_signature("math.pi")
