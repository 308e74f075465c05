"""What a run's settings are beside the defaults in conf/: the options that were chosen, and the keys that differ."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from ordinalclip.conf_dir import conf_dir

GROUPS = ("dataset", "protocol", "backbone", "prompt", "loss", "optimizer", "schedule", "trainer")
_HIDDEN = ("paths", "tracking", "name", "_target_", "hydra", "defaults", "rerun", "sweep_name", "tags")


def chosen_options(cfg: Mapping[str, Any]) -> dict[str, str]:
    """Group → the option in conf/ that a configuration comes nearest to: the same target, the fewest differing keys."""
    return {group: found for group in GROUPS if (found := _nearest(group, cfg.get(group) or {})) is not None}


def changed_settings(cfg: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Keys whose values are not those of the chosen options and of train.yaml: key, value, default; in order."""
    rows = []
    for key, value, default in _differences(cfg, _read(conf_dir() / "train.yaml"), cfg):
        rows.append((key, value, default))
    for group, option in chosen_options(cfg).items():
        of_option = _option(conf_dir() / group / f"{option}.yaml", group)
        rows += [(f"{group}.{key}", value, old) for key, value, old in _differences(cfg[group], of_option, cfg)]
    return [(key, _told(value), _told(default)) for key, value, default in rows]


def _nearest(group: str, node: Mapping[str, Any]) -> str | None:
    options = {path.stem: _option(path, group) for path in sorted((conf_dir() / group).glob("*.yaml"))}
    same = {name: option for name, option in options.items() if _target(option) == _target(node)}
    if node.get("name") in same:
        return str(node["name"])
    return min(same, key=lambda name: len(list(_differences(node, same[name], {}))), default=None)


def _target(node: Mapping[str, Any]) -> Any:
    split = node.get("split")  # of a protocol, whose own target it is; a data set's is a word
    return node.get("_target_", split.get("_target_") if isinstance(split, Mapping) else None)


def _option(path: Path, group: str) -> dict[str, Any]:
    """An option's own keys over those of the options that it builds on; one for the whole tree has its group's."""
    content = _read(path)
    base: dict[str, Any] = {}
    for default in content.get("defaults", []):
        if isinstance(default, str) and default != "_self_" and (path.parent / f"{default}.yaml").is_file():
            base |= _option(path.parent / f"{default}.yaml", group)
    return base | (content[group] if isinstance(content.get(group), dict) else content)


def _read(path: Path) -> dict[str, Any]:
    content = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None
    return content if isinstance(content, dict) else {}


def _differences(
    now: Mapping[str, Any], then: Mapping[str, Any], cfg: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    for key, default in then.items():
        if key in _HIDDEN or key not in now:
            continue
        if isinstance(default, dict) and isinstance(now[key], dict):
            yield from _differences(now[key], default, cfg, f"{prefix}{key}.")
        elif not _equal(now[key], _followed(default, cfg)):
            yield f"{prefix}{key}", now[key], _followed(default, cfg)


def _followed(value: Any, cfg: Mapping[str, Any]) -> Any:
    """`${lr}` is what the configuration's `lr` is."""
    if not (isinstance(value, str) and value.startswith("${") and value.endswith("}")):
        return value
    found: Any = cfg
    for part in value[2:-1].split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _equal(one: Any, other: Any) -> bool:
    if isinstance(other, str) and not isinstance(one, str):  # yaml takes 1e-3 for a word
        try:
            return float(one) == float(other)
        except (TypeError, ValueError):
            return False
    return bool(one == other)


def _told(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")
    return f"{value:g}" if isinstance(value, float) else str(value)
