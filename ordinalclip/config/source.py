"""Definitions looked up in source files by dotted name, without importing them.

`split_target` finds the module of a name, `find_definition` the statement that defines it, through re-exports. Read are
this project's packages and torch's optimizers, so that a configuration is checked before torch is imported.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

OWN_PACKAGES = ("ordinalclip", "launch", "analysis")
_ALSO_READ = ("torch.optim",)  # every run names one of its optimizers, and importing torch takes over a second

_MAX_REEXPORTS = 5  # an `__init__` that imports from a file, and some to spare; ends circles


@dataclass(frozen=True)
class Imported:
    """A name that a module has from elsewhere: `from module import name`, or `import module` where name is None."""

    module: str
    name: str | None


@dataclass(frozen=True, eq=False)
class Module:
    """The names that one source file defines at its top level, each with the statement behind it."""

    name: str
    path: Path
    names: Mapping[str, ast.stmt | Imported]


@dataclass(frozen=True)
class Definition:
    """A statement and its module; an `Imported` that is left over belongs to another library and is not read."""

    module: Module
    node: ast.stmt | Imported


def is_own(target: str) -> bool:
    """Whether a dotted name lies in one of the packages of this project."""
    return target.partition(".")[0] in OWN_PACKAGES


def is_read(target: str) -> bool:
    """Whether a dotted name is looked up in source code, in place of being imported."""
    return is_own(target) or any(target == package or target.startswith(f"{package}.") for package in _ALSO_READ)


def split_target(target: str) -> tuple[Module | None, list[str], list[str]]:
    """The module a dotted name leads to, and what is left of the name behind it.

    Returns:
        The module (None if the name leads to no file), the parts of the name that lie in it, and the modules that
        are beside the first part that could not be followed, for a message.
    """
    parts = target.split(".")
    place = _package_folder(parts[0])
    depth = 1
    while place is not None and depth < len(parts):
        deeper = _inside(place, parts[depth])
        if deeper is None:
            break
        place, depth = deeper, depth + 1
    return read_module(".".join(parts[:depth])), parts[depth:], [] if place is None else _modules_in(place)


@cache
def read_module(name: str) -> Module | None:
    """The names of the module `name`, or None where there is no such module."""
    first, *rest = name.split(".")
    place = _package_folder(first)
    for part in rest:
        place = None if place is None else _inside(place, part)
    if place is None:
        return None
    path, package = (place / "__init__.py", name) if place.is_dir() else (place, name.rpartition(".")[0])
    source = path.read_text(encoding="utf-8") if path.exists() else ""  # a folder without one is a package, too
    tree = ast.parse(source, filename=str(path))
    return Module(name, path, dict(_names(tree.body, package)))


def find_definition(module: Module, name: str) -> Definition | None:
    """The definition of `name` in a module, followed through re-exports in modules that are read."""
    for _ in range(_MAX_REEXPORTS):
        node = module.names.get(name)
        if node is None:
            return None
        if not isinstance(node, Imported) or node.name is None or not is_read(node.module):
            return Definition(module, node)
        source = read_module(node.module)
        if source is None or node.name not in source.names:
            return Definition(module, node)  # a submodule, or a name made at run time
        module, name = source, node.name
    return None


def _package_folder(name: str) -> Path | None:
    # Only for the first name: find_spec("a.b.c") would import a.b, which may import torch.
    spec = find_spec(name)
    locations = [] if spec is None else list(spec.submodule_search_locations or ())
    return Path(locations[0]) if locations else None


def _inside(place: Path, name: str) -> Path | None:
    package, module = place / name, place / f"{name}.py"
    choices = [package, module] if (package / "__init__.py").exists() else [module, package]
    return next((path for path in choices if path.exists()), None)


def _modules_in(place: Path) -> list[str]:
    found = [*place.glob("*.py"), *(path.parent for path in place.glob("*/__init__.py"))]
    return sorted(path.stem for path in found if not path.name.startswith("_"))


def _names(body: list[ast.stmt], package: str) -> Iterator[tuple[str, ast.stmt | Imported]]:
    for node in body:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name, node
            case ast.Assign(targets=targets):
                yield from ((target.id, node) for target in targets if isinstance(target, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr()):
                yield name, node
            case ast.Import(names=aliases):
                for alias in aliases:
                    yield alias.asname or alias.name.partition(".")[0], Imported(alias.name, None)
            case ast.ImportFrom(module=module, names=aliases, level=level):
                source = _absolute(module, level, package)
                yield from ((alias.asname or alias.name, Imported(source, alias.name)) for alias in aliases)
            case ast.If(body=inner, orelse=other) | ast.Try(body=inner, orelse=other):
                yield from _names(inner + other, package)


def _absolute(module: str | None, level: int, package: str) -> str:
    if level == 0:
        return module or ""
    base = package.split(".")
    base = base[: len(base) - level + 1]
    return ".".join([*base, module] if module else base)
