"""The keywords that a `_target_` accepts, and the check of a configuration node against them.

Signatures of this project's classes and functions, and of torch's optimizers, are read from their source with types
and ranges (`source_signature`). Other targets are imported and give the names of their keywords (`imported_signature`).
"""

import ast
import inspect
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from itertools import zip_longest

from ordinalclip.config.kinds import Kind, read_annotation
from ordinalclip.config.source import Definition, Module, find_definition, is_read, split_target
from ordinalclip.errors import ConfigError, did_you_mean

_HYDRA_KEYS = ("_target_", "_partial_", "_args_", "_convert_", "_recursive_")
_MISSING = "???"  # OmegaConf's mark for a value that must be given
# Bases that take no arguments of their own; any other foreign base may take what it likes.
_EMPTY_BASES = ("object", "Module", "ABC", "Protocol", "Generic")


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


def check_target(
    node: Mapping, key: str, *, known: Mapping[str, float] | None = None, runtime: Collection[str] = ()
) -> None:
    """Check a node with a `_target_`, and those in it, against the signatures of what they name.

    Things of our own packages (and torch's optimizers) are read from their source, types and ranges included; others
    are imported and checked for their keys only. Text is never converted: `'1.0'` is not a number.

    Args:
        node: the node as a plain resolved mapping; values that are still interpolations are not tested.
        key: the node's key in the configuration, such as "prompt"; empty for the top.
        known: quantities that ranges may name, such as `{"num_ranks": 8}`.
        runtime: keywords that the program adds; the configuration need not give them, and is not tested on them.

    Raises:
        ConfigError: for a target that is not there, a key it does not take, one it misses, a value it does not allow.
    """
    target = node["_target_"]
    signature = _signature(target, _join(key, "_target_"))
    if signature is not None:
        _check_keys(node, key, signature, runtime)
        for name in node:
            parameter = signature.parameters.get(name)
            if parameter is not None and name not in runtime:
                _check_value(node[name], _join(key, name), parameter, known or {})
    for place, inner in _nested({name: value for name, value in node.items() if name not in runtime}, key):
        check_target(inner, place, known=known)


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


def _signature(target: object, key: str) -> Signature | None:
    if not isinstance(target, str) or not all(part.isidentifier() for part in target.split(".")) or "." not in target:
        raise ConfigError(key, target, "is not the dotted name of a class or function")
    if not is_read(target):
        try:
            return imported_signature(target)
        except (ImportError, AttributeError) as error:
            raise ConfigError(key, target, f"cannot be imported: {error}") from None
    module, rest, siblings = split_target(target)
    if module is not None and rest:
        found = find_definition(module, rest[0])
        if found is not None:
            return source_signature(found, rest[1:])
        siblings = [*siblings, *(name for name in module.names if not name.startswith("_"))]
    missing = rest[0] if rest else target
    where = "" if module is None else f" in {module.name}"
    raise ConfigError(
        key,
        target,
        f"there is no {missing}{where}" if rest else "is a module; a class or function in it is wanted",
        allowed=", ".join(siblings),
        remedy=did_you_mean(missing, siblings),
    )


def _check_keys(node: Mapping, key: str, signature: Signature, runtime: Collection[str]) -> None:
    target = node["_target_"]
    choices = [name for name in signature.parameters if name not in runtime]
    for name, value in node.items():
        if name in _HYDRA_KEYS or name in runtime or name in signature.parameters or signature.is_open:
            continue
        allowed = ", ".join(choices) or "nothing"
        remedy = did_you_mean(str(name), choices)
        raise ConfigError(_join(key, name), value, f"{target} has no such setting", allowed=allowed, remedy=remedy)
    if node.get("_partial_", False) or "_args_" in node:
        return
    for name, parameter in signature.parameters.items():
        if parameter.required and name not in runtime and node.get(name, _MISSING) == _MISSING:
            allowed = _words(_kind(parameter, {}))
            raise ConfigError(_join(key, name), _MISSING, f"is missing: {target} needs it", allowed=allowed)


def _check_value(value: object, key: str, parameter: Parameter, known: Mapping[str, float]) -> None:
    kind = _kind(parameter, known)
    if kind is None or _is_open(value) or next(_nested(value, key), None) is not None or kind.accepts(value):
        return
    problem = "is not allowed"
    if isinstance(value, str) and not kind.is_text:
        problem = "is text, which is never converted"
    remedy = did_you_mean(str(value), kind.choices)
    raise ConfigError(key, value, problem, allowed=_words(kind), remedy=remedy)


def _kind(parameter: Parameter, known: Mapping[str, float]) -> Kind | None:
    return None if parameter.scope is None else read_annotation(parameter.annotation, parameter.scope, known)


def _words(kind: Kind | None) -> str:
    return "" if kind is None else kind.words


def _join(key: str, name: object) -> str:
    return f"{key}.{name}" if key else str(name)


def _is_open(value: object) -> bool:
    return isinstance(value, str) and (value == _MISSING or "${" in value)


def _nested(value: object, key: str) -> Iterator[tuple[str, Mapping]]:
    """The nodes with a `_target_` below a value, as Hydra would find them, each with its key."""
    inner: Iterable[tuple[str, object]] = ()
    if isinstance(value, Mapping):
        inner = ((_join(key, name), one) for name, one in value.items())
    elif isinstance(value, list | tuple):
        inner = ((f"{key}[{index}]", one) for index, one in enumerate(value))
    for place, one in inner:
        if isinstance(one, Mapping) and "_target_" in one:
            yield place, one
        else:
            yield from _nested(one, place)


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
