"""The check of a node with a `_target_` against the signature of what it names, before anything heavy is imported."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from difflib import get_close_matches

from ordinalclip.config.kinds import Kind, read_annotation
from ordinalclip.config.source import (
    Parameter,
    Signature,
    find_definition,
    imported_signature,
    is_read,
    source_signature,
    split_target,
)
from ordinalclip.errors import ConfigError

_HYDRA_KEYS = ("_target_", "_partial_", "_args_", "_convert_", "_recursive_")
_MISSING = "???"  # OmegaConf's mark for a value that must be given


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


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """A question after the nearest of the choices, or an empty string where none is near."""
    close = get_close_matches(word, list(choices), n=3, cutoff=0.6)
    return f"did you mean {' or '.join(close)}?" if close else ""


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
