"""The commands of `python -m ordinalclip.datasets`: each takes what was typed and returns the exit status."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir

from ordinalclip.conf_dir import conf_dir
from ordinalclip.config import check, plain
from ordinalclip.datasets.findings import findings, stopping
from ordinalclip.datasets.load import finish_manifest, split_manifest, summary
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.datasets.sheet import rank_sheet
from ordinalclip.errors import ConfigError, DataError
from ordinalclip.help import read_options

_GROUPS = ("dataset", "protocol", "subset", "paths", "experiment")
_SHEET = {"per_rank": 8, "size": 96}
MAX_PER_RANK, MAX_SIZE = 100, 1024


def list_datasets(words: Sequence[str]) -> int:
    """Prints the data sets of conf/dataset, a line each."""
    if words:
        raise ConfigError(words[0].partition("=")[0], words[0].partition("=")[2], "list takes no words", allowed="none")
    options = read_options([conf_dir()])["dataset"]
    width = max(map(len, options))
    print("\n".join(f"{name:{width}}  {description}" for name, description in options.items()))
    return 0


def check_dataset(words: Sequence[str]) -> int:
    """Prints what a data set and its protocol come to.

    Args:
        words: of the form key=value, of the groups that bear on the data.

    Returns:
        0, or 1 where training would stop at images or labels that cannot be used.

    Raises:
        ConfigError: for what cannot be used.
        DataError: for a data set that cannot be used; where it could be read, the counts are printed before.
    """
    cfg = _compose(words)
    # Told among the rest, rather than in place of it.
    strict = cfg["dataset"].get("on_error") == "raise"
    whole = _split(cfg | {"dataset": cfg["dataset"] | ({"on_error": "skip"} if strict else {})})
    try:
        manifest = finish_manifest(whole, cfg["protocol"], cfg["subset"])
    except DataError:
        print(summary(whole))
        raise
    print("\n".join([summary(manifest), "", *findings(manifest)]))
    for key in ("licence", "citation"):
        print(f"{key:11} {cfg['dataset'].get(key) or 'not stated'}")
    if not (strict and stopping(manifest)):
        return 0
    print("\ntraining stops at what cannot be used; with dataset.on_error=skip it goes on without them")
    return 1


def show_dataset(words: Sequence[str]) -> int:
    """Writes a sheet with images of each rank.

    Args:
        words: as of `check_dataset`, and `out`, `per_rank`, `size`.

    Returns:
        0.

    Raises:
        ConfigError: for what cannot be used.
        DataError: for a data set that cannot be used.
    """
    own = dict(word.partition("=")[::2] for word in words if word.partition("=")[0] in ("out", *_SHEET))
    limits = {"per_rank": MAX_PER_RANK, "size": MAX_SIZE}
    numbers = {key: _number(key, own.get(key, str(default)), limits[key]) for key, default in _SHEET.items()}
    cfg = _compose([word for word in words if word.partition("=")[0] not in own])
    manifest = _split(cfg)
    out = Path(own.get("out", f"{manifest.name}.png")).expanduser()
    if out.suffix.lower() != ".png" or not out.absolute().parent.is_dir():
        raise ConfigError("out", out, "cannot be written", allowed="a .png file in a folder that there is")
    rank_sheet(manifest, **numbers).save(out, optimize=True)
    print(f"written {out}")
    return 0


def _compose(words: Sequence[str]) -> dict[str, Any]:
    for word in words:
        key, equals, value = word.partition("=")
        group = key.lstrip("+~").partition(".")[0].partition("@")[0]
        if not equals or group not in _GROUPS:
            problem = "does not bear on the data" if equals else "needs a value"
            raise ConfigError(key, value, problem, allowed=", ".join(f"{name}=…" for name in _GROUPS))
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = plain(compose("train", list(words)))
    check(cfg)
    return cfg


def _split(cfg: dict[str, Any]) -> Manifest:
    paths = cfg["paths"]
    data_dir, cache_dir = Path(paths["data"]), Path(paths["cache"])
    return split_manifest(cfg["dataset"], cfg["protocol"], data_dir=data_dir, cache_dir=cache_dir)


def _number(key: str, text: str, most: int) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise ConfigError(key, text, "is no such number", allowed=f"1…{most}")
    return int(text)
