"""Classes and functions named by a `_target_` that have moved to another module.

A `_target_` is written into users' yaml files, into the records of runs and into exports, and it enters the run id. A
name that has moved therefore keeps working: `current_names` maps it to the module of today where a configuration is
composed or a record is opened, and `first_name` maps it back where a run id is computed, so that an id does not depend
on where the code lies.

To move a target, add a line to `_MOVED`; never remove one.
"""

from collections.abc import Mapping
from typing import Any

# The module that first held a target → the module that holds it today. The names inside of the modules are the same.
_MOVED = {
    "ordinalclip.datasets.adience": "ordinalclip.datasets.layouts.adience",
    "ordinalclip.datasets.aesthetics": "ordinalclip.datasets.layouts.aesthetics",
    "ordinalclip.datasets.afad": "ordinalclip.datasets.layouts.afad",
    "ordinalclip.datasets.agedb": "ordinalclip.datasets.layouts.agedb",
    "ordinalclip.datasets.appa_real": "ordinalclip.datasets.layouts.appa_real",
    "ordinalclip.datasets.aptos": "ordinalclip.datasets.layouts.retina",
    "ordinalclip.datasets.ava": "ordinalclip.datasets.layouts.ava",
    "ordinalclip.datasets.cacd": "ordinalclip.datasets.layouts.cacd",
    "ordinalclip.datasets.clap2015": "ordinalclip.datasets.layouts.clap",
    "ordinalclip.datasets.clap2016": "ordinalclip.datasets.layouts.clap",
    "ordinalclip.datasets.digits": "ordinalclip.datasets.layouts.digits",
    "ordinalclip.datasets.elpv": "ordinalclip.datasets.layouts.elpv",
    "ordinalclip.datasets.eyepacs": "ordinalclip.datasets.layouts.retina",
    "ordinalclip.datasets.fgnet": "ordinalclip.datasets.layouts.fgnet",
    "ordinalclip.datasets.gauge": "ordinalclip.datasets.drawn.gauge",
    "ordinalclip.datasets.gdrbench": "ordinalclip.datasets.layouts.gdrbench",
    "ordinalclip.datasets.hci": "ordinalclip.datasets.layouts.hci",
    "ordinalclip.datasets.heads.load": "ordinalclip.datasets.drawn.heads.load",
    "ordinalclip.datasets.imdb_clean": "ordinalclip.datasets.layouts.imdb",
    "ordinalclip.datasets.imdb_wiki": "ordinalclip.datasets.layouts.imdb",
    "ordinalclip.datasets.koniq": "ordinalclip.datasets.layouts.koniq",
    "ordinalclip.datasets.lists": "ordinalclip.datasets.layouts.lists",
    "ordinalclip.datasets.medmnist": "ordinalclip.datasets.layouts.medmnist",
    "ordinalclip.datasets.morph": "ordinalclip.datasets.layouts.morph",
    "ordinalclip.datasets.unknown": "ordinalclip.datasets.layouts.unknown",
    "ordinalclip.datasets.utkface": "ordinalclip.datasets.layouts.utkface",
    "ordinalclip.schedules": "ordinalclip.optimizers.schedules",
    "ordinalclip.trainer": "ordinalclip.training.loop",
}
# Modules that were merged from several: the target's own name gives the first module.
_FIRST = {
    "ordinalclip.datasets.layouts.clap.load_clap2015": "ordinalclip.datasets.clap2015",
    "ordinalclip.datasets.layouts.clap.load_clap2016": "ordinalclip.datasets.clap2016",
    "ordinalclip.datasets.layouts.imdb.load_imdb_clean": "ordinalclip.datasets.imdb_clean",
    "ordinalclip.datasets.layouts.imdb.load_imdb_wiki": "ordinalclip.datasets.imdb_wiki",
    "ordinalclip.datasets.layouts.retina.load_aptos": "ordinalclip.datasets.aptos",
    "ordinalclip.datasets.layouts.retina.load_eyepacs": "ordinalclip.datasets.eyepacs",
}
_BACK = {now: first for first, now in _MOVED.items()}


def current_name(target: str) -> str:
    """The dotted name of a target today; a name that has not moved is returned as it is."""
    module, _, name = target.rpartition(".")
    return f"{_MOVED[module]}.{name}" if module in _MOVED else target


def first_name(target: str) -> str:
    """The dotted name under which a target was first published; the inverse of `current_name`."""
    module, _, name = target.rpartition(".")
    return f"{_FIRST.get(target) or _BACK[module]}.{name}" if module in _BACK else target


def current_names(cfg: Any) -> Any:
    """A configuration, or a part of it, in which each `_target_` has the name of today.

    Args:
        cfg: nested mappings and lists; it is not changed.
    """
    if isinstance(cfg, Mapping):
        return {
            key: current_name(value) if key == "_target_" and isinstance(value, str) else current_names(value)
            for key, value in cfg.items()
        }
    return [current_names(value) for value in cfg] if isinstance(cfg, list | tuple) else cfg
