"""The commands of `python -m ordinalclip.datasets`: list, check and show data sets before anything is trained.

Each command takes the words that were typed and returns the exit status. `check` prints counts, broken images,
duplicates and leakage; `show` writes a sheet with a few images of each rank.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hydra import compose
from PIL import Image, ImageDraw, ImageFont, ImageOps

from ordinalclip.cli.help import read_options
from ordinalclip.config.checks import check_groups
from ordinalclip.config.compose import compose_api, conf_dir, config_dirs, name_runs, plain_config
from ordinalclip.datasets.bad_rows import ON_ERROR
from ordinalclip.datasets.leakage import measure_leakage
from ordinalclip.datasets.load import finish_manifest, split_manifest, summary
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.errors import ConfigError, DataError
from ordinalclip.images.decoding import open_rgb

NUM_EXAMPLES = 3  # sets of duplicates that are printed
_GROUPS = ("dataset", "protocol", "subset", "paths", "experiment")  # groups of the config that concern the data
_BROKEN_IMAGES = "images that cannot be used"  # in the note of `build_manifest`

_SHEET_DEFAULTS = {"per_rank": 8, "size": 96}
_SHEET_MAXIMA = {"per_rank": 100, "size": 1024}
MAX_SHEET_RANKS = 20
_SHEET_GAP, _SHEET_FONT_SIZE = 4, 14  # pixels


def list_datasets(words: Sequence[str]) -> int:
    """Prints the data sets of conf/dataset and of --config-dir, one per line."""
    if words:
        key, _, value = words[0].partition("=")
        raise ConfigError(key, value, "list takes no arguments", allowed="none")
    options = read_options([conf_dir(), *config_dirs()])["dataset"]
    width = max(map(len, options))
    print("\n".join(f"{name:{width}}  {description}" for name, description in options.items()))
    return 0


def check_dataset(words: Sequence[str]) -> int:
    """Prints the counts of a data set and its splits, broken images, duplicates, leakage, notes and the licence.

    Args:
        words: key=value, in the groups that concern the data.

    Returns:
        0; 1 if training would stop at images or labels that cannot be used.

    Raises:
        ConfigError: a word cannot be used.
        DataError: the data set cannot be used. If it could be read, the counts are printed first.
    """
    cfg = _compose(words)
    # Broken images are printed with the other findings instead of ending the command.
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
    """Writes a sheet with images of each rank and returns 0.

    Args:
        words: those of `check_dataset`, and `out`, `per_rank` and `size`.

    Raises:
        ConfigError: a word cannot be used.
        DataError: the data set cannot be used.
    """
    own = dict(word.partition("=")[::2] for word in words if word.partition("=")[0] in ("out", *_SHEET_DEFAULTS))
    numbers = {
        key: _number(key, own.get(key, str(value)), _SHEET_MAXIMA[key]) for key, value in _SHEET_DEFAULTS.items()
    }
    cfg = _compose([word for word in words if word.partition("=")[0] not in own])
    manifest = _split(cfg)
    out = Path(own.get("out", f"{manifest.name}.png")).expanduser()
    if out.suffix.lower() != ".png" or not out.absolute().parent.is_dir():
        raise ConfigError("out", out, "cannot be written", allowed="a .png file in an existing folder")
    rank_sheet(manifest, **numbers).save(out, optimize=True)
    print(f"written {out}")
    return 0


def _compose(words: Sequence[str]) -> dict[str, Any]:
    for word in words:
        key, equals, value = word.partition("=")
        group = key.lstrip("+~").partition(".")[0].partition("@")[0]
        if not equals or group not in _GROUPS:
            problem = "does not concern the data" if equals else "needs a value"
            raise ConfigError(key, value, problem, allowed=", ".join(f"{name}=…" for name in _GROUPS))
    with compose_api():
        cfg = plain_config(compose("train", name_runs(words)))
    check_groups(cfg)
    return cfg


def _split(cfg: dict[str, Any]) -> Manifest:
    paths = cfg["paths"]
    data_dir, cache_dir = Path(paths["data"]), Path(paths["cache"])
    return split_manifest(cfg["dataset"], cfg["protocol"], data_dir=data_dir, cache_dir=cache_dir)


def _number(key: str, text: str, most: int) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise ConfigError(key, text, "is out of range", allowed=f"1…{most}")
    return int(text)


def findings(manifest: Manifest) -> list[str]:
    """Returns lines of text about a manifest's duplicates, leakage, notes and hash."""
    leaks = measure_leakage(manifest)
    lines = [f"{'duplicates':11} {line}" for line in duplicates(manifest)]
    lines += [_shared(kind, leaks[kind]) for kind in ("subjects", "groups")]
    lines += [f"{'note':11} {note}".replace("\n", "\n" + " " * 12) for note in manifest.notes]
    return [*lines, f"{'hash':11} {manifest.content_hash}"]


def stopping(manifest: Manifest) -> bool:
    """Returns whether rows were left out that training stops at with dataset.on_error=raise."""
    return any(
        (note.startswith("skipped ") and _BROKEN_IMAGES in note) or (note.startswith("left out ") and ON_ERROR in note)
        for note in manifest.notes
    )


def duplicates(manifest: Manifest) -> list[str]:
    """Returns lines about byte-identical images, and how many of them have different ranks or splits."""
    table = manifest.table
    equal = table[table.duplicated("sha256", keep=False)]
    if equal.empty:
        return ["none to the byte"]
    sets = equal.groupby("sha256")
    ranks, splits = sets["rank"].nunique(), sets["split"].nunique()
    lines = [f"{len(equal):,} images are copies of {len(ranks):,}, equal to the byte"]
    for odd, what in (
        (ranks > 1, "have copies under different ranks"),
        (splits > 1, "have copies in different splits"),
    ):
        examples = [" = ".join(sets.get_group(key)["path"].tolist()[:3]) for key in odd.index[odd][:NUM_EXAMPLES]]
        lines.append(f"{odd.sum():,} {what}" + (f": {'; '.join(examples)}" if examples else ""))
    return lines


def _shared(kind: str, found: dict[str, Any]) -> str:
    """Returns the number of subjects or groups, and of those in more than one split."""
    if not found["known"]:
        return f"{kind:11} not known"
    rate = "" if found["test_rate"] is None else f" ({found['test_rate']:.1%} of the test images)"
    return f"{kind:11} {found['units']:,}, of which {found['shared']:,} in more than one split{rate}"


def rank_sheet(manifest: Manifest, *, per_rank: int, size: int) -> Image.Image:
    """Returns an RGB image with one row per rank and images of the rank side by side.

    Args:
        manifest: of any data set. Of more than `MAX_SHEET_RANKS` ranks, that many are shown, spread over the scale.
        per_rank: number of images per rank, always the same ones.
        size: side of an image in pixels.
    """
    table = manifest.table
    shown = np.unique(
        np.linspace(0, manifest.num_ranks - 1, min(manifest.num_ranks, MAX_SHEET_RANKS)).round().astype(int)
    )
    font = ImageFont.load_default(_SHEET_FONT_SIZE)
    names = [f"{manifest.rank_names[rank]} ({(table['rank'] == rank).sum():,})" for rank in shown]
    left = _SHEET_GAP * 2 + int(max(font.getlength(name) for name in names))
    pitch = size + _SHEET_GAP
    sheet = Image.new("RGB", (left + per_rank * pitch, len(shown) * pitch + _SHEET_GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for row, rank in enumerate(shown):
        top = _SHEET_GAP + row * pitch
        draw.text((_SHEET_GAP, top + size / 2), names[row], fill="black", font=font, anchor="lm")
        # A fixed random order, which depends on neither names nor splits.
        images = sorted(
            table.loc[table["rank"] == rank, "path"], key=lambda path: hashlib.sha256(path.encode()).digest()
        )
        for column, path in enumerate(images[:per_rank]):
            picture = ImageOps.contain(open_rgb(manifest.root / path), (size, size))
            sheet.paste(picture, (left + column * pitch, top + (size - picture.height) // 2))
    return sheet
