"""Classes and functions read from their source code, and the keywords that they accept.

Nothing is imported, so a configuration is checked without torch. Only targets of other libraries, whose source is not
read, are imported.
"""

import ast
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from itertools import zip_longest
from pathlib import Path

OWN_PACKAGES = ("ordinalclip", "launch", "analysis")
_ALSO_READ = ("torch.optim",)  # every run names one of its optimizers, and importing torch takes over a second

_MAX_REEXPORTS = 5  # an `__init__` that imports from a file, and some to spare; ends circles

# Bases that take no arguments of their own; any other foreign base may take what it likes.
_EMPTY_BASES = ("object", "Module", "ABC", "Protocol", "Generic")


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


@dataclass(frozen=True)
class Parameter:
    """One keyword of a target; `annotation` belongs to `scope`; None if it is not checked."""

    required: bool
    annotation: ast.expr | None = None
    scope: Module | None = None


@dataclass(frozen=True)
class Signature:
    """The keywords of a target, in order; `is_open` if it takes any other, too (`**kwargs`)."""

    parameters: Mapping[str, Parameter]
    is_open: bool = False


def source_signature(found: Definition, rest: list[str]) -> Signature | None:
    """The signature of a definition, or of its class attribute `rest`, without importing it.

    Returns:
        None if the source does not show it: a name assigned at run time, a foreign base class with a constructor.
    """
    match found.node, rest:
        case ast.FunctionDef() as function, []:
            return _of_function(function, found.module, bound=False)
        case ast.ClassDef() as definition, []:
            return _of_class(definition, found.module)
        case ast.ClassDef(body=body), [name]:
            method = _method(body, name)
            static = method is not None and "staticmethod" in _decorators(method)
            return None if method is None else _of_function(method, found.module, bound=not static)
    return None


def imported_signature(target: str) -> Signature | None:
    """The signature of anything importable, or None where it has none to inspect, as things written in C.

    Raises:
        ImportError, AttributeError: if there is no such thing.
    """
    parts = target.split(".")
    thing: object = import_module(parts[0])
    for depth, part in enumerate(parts[1:], start=2):
        if not hasattr(thing, part):
            # Only a module has submodules: a misspelt attribute of a class is to be named as such.
            if not inspect.ismodule(thing):
                raise AttributeError(f"{'.'.join(parts[: depth - 1])} has no {part}")
            import_module(".".join(parts[:depth]))
        thing = getattr(thing, part)
    if not callable(thing):
        raise AttributeError(f"{target} cannot be called")
    try:
        signature = inspect.signature(thing)
    except (ValueError, TypeError):
        return None
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = signature.parameters.values()
    return Signature(
        {one.name: Parameter(one.default is one.empty) for one in parameters if one.kind in by_name},
        is_open=any(one.kind is one.VAR_KEYWORD for one in parameters),
    )


def _of_function(node: ast.FunctionDef, module: Module, *, bound: bool) -> Signature:
    arguments = node.args
    ordered = arguments.posonlyargs + arguments.args
    first_default = len(ordered) - len(arguments.defaults)
    parameters = {
        one.arg: Parameter(index < first_default, one.annotation, module)
        for index, one in enumerate(ordered)
        if index >= max(len(arguments.posonlyargs), int(bound))
    }
    for one, default in zip_longest(arguments.kwonlyargs, arguments.kw_defaults):
        parameters[one.arg] = Parameter(default is None, one.annotation, module)
    return Signature(parameters, is_open=arguments.kwarg is not None)


def _of_class(node: ast.ClassDef, module: Module) -> Signature | None:
    constructor = _method(node.body, "__init__")
    if constructor is not None:
        return _of_function(constructor, module, bound=True)
    inherited: dict[str, Parameter] = {}
    for base in node.bases:
        name = base.value if isinstance(base, ast.Subscript) else base  # Generic[T]
        word = name.id if isinstance(name, ast.Name) else name.attr if isinstance(name, ast.Attribute) else ""
        if word in _EMPTY_BASES or word == "NamedTuple":
            continue
        signature = _of_base(word, module) if isinstance(name, ast.Name) else None
        if signature is None or signature.is_open:
            return signature
        inherited |= signature.parameters
    if "dataclass" in _decorators(node) or any(ast.unparse(base).endswith("NamedTuple") for base in node.bases):
        inherited |= dict(_fields(node, module))
    return Signature(inherited)


def _of_base(name: str, module: Module) -> Signature | None:
    found = find_definition(module, name)
    return source_signature(found, []) if found is not None and isinstance(found.node, ast.ClassDef) else None


def _fields(node: ast.ClassDef, module: Module) -> Iterator[tuple[str, Parameter]]:
    for line in node.body:
        match line:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value):
                text = ast.unparse(annotation)
                # field(init=False) and ClassVar are not the constructor's; field(default_factory=…) is a default
                if "ClassVar" in text or (value is not None and "init=False" in ast.unparse(value)):
                    continue
                yield name, Parameter(value is None, annotation, module)


def _method(body: list[ast.stmt], name: str) -> ast.FunctionDef | None:
    return next((one for one in body if isinstance(one, ast.FunctionDef) and one.name == name), None)


def _decorators(node: ast.FunctionDef | ast.ClassDef) -> set[str]:
    return {ast.unparse(one).partition("(")[0].rpartition(".")[2] for one in node.decorator_list}
