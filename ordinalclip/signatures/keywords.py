"""What a target can be given: its keywords, read from source where that is possible, else by import."""

import ast
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from itertools import zip_longest

from ordinalclip.signatures.source import Definition, Module, find

# Bases that take no arguments of their own; any other foreign base may take what it likes.
_EMPTY_BASES = ("object", "Module", "ABC", "Protocol", "Generic")


@dataclass(frozen=True)
class Parameter:
    """One keyword of a target; `annotation` stands in `scope`, and is None for what is not ours to check."""

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
        None where the source does not tell: a name assigned at run time, a foreign base class with a constructor.
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
    found = find(module, name)
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
