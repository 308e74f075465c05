"""The commands of `python -m ordinalclip.datasets`: list, check and show data sets before anything is trained.

`check` prints counts, unreadable files, copies and leakage; `show` writes a sheet with a few images of each rank.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hydra import compose, initialize_config_dir
from PIL import Image, ImageDraw, ImageFont, ImageOps

from ordinalclip.cli.help import read_options
from ordinalclip.config.checks import check_groups
from ordinalclip.config.compose import conf_dir, plain_config
from ordinalclip.datasets.bad_rows import ON_ERROR
from ordinalclip.datasets.leakage import measure_leakage
from ordinalclip.datasets.load import finish_manifest, split_manifest, summary
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.errors import ConfigError, DataError
from ordinalclip.images.decoding import open_rgb

NUM_EXAMPLES = 3
_UNREADABLE = "images that cannot be used"

GAP, MAX_ROWS, TEXT = 4, 20, 14
_GROUPS = ("dataset", "protocol", "subset", "paths", "experiment")
_SHEET = {"per_rank": 8, "size": 96}
MAX_PER_RANK, MAX_SIZE = 100, 1024


def findings(manifest: Manifest) -> list[str]:
    """Duplicates, leakage, notes and the hash.

    Args:
        manifest: with its split.
    """
    leaks = measure_leakage(manifest)
    lines = [f"{'duplicates':11} {line}" for line in duplicates(manifest)]
    lines += [_shared(kind, leaks[kind]) for kind in ("subjects", "groups")]
    lines += [f"{'note':11} {note}".replace("\n", "\n" + " " * 12) for note in manifest.notes]
    return [*lines, f"{'hash':11} {manifest.content_hash}"]


def stopping(manifest: Manifest) -> bool:
    """Whether anything was left out that training stops at under dataset.on_error=raise."""
    return any(
        (note.startswith("skipped ") and _UNREADABLE in note) or (note.startswith("left out ") and ON_ERROR in note)
        for note in manifest.notes
    )


def duplicates(manifest: Manifest) -> list[str]:
    """Images that are equal to the byte: how many, how many of those under different ranks or in different splits."""
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
    """How many subjects or groups there are, and how many stand in more than one split."""
    if not found["known"]:
        return f"{kind:11} not known"
    rate = "" if found["test_rate"] is None else f" ({found['test_rate']:.1%} of the test images)"
    return f"{kind:11} {found['units']:,}, of which {found['shared']:,} in more than one split{rate}"


def rank_sheet(manifest: Manifest, *, per_rank: int, size: int) -> Image.Image:
    """Ranks below each other, images of a rank side by side.

    Args:
        manifest: of any data set; of more than `MAX_ROWS` ranks as many are shown, spread over the scale.
        per_rank: images of each, always the same ones.
        size: edge of an image in pixels.

    Returns:
        An RGB image.
    """
    table = manifest.table
    shown = np.unique(np.linspace(0, manifest.num_ranks - 1, min(manifest.num_ranks, MAX_ROWS)).round().astype(int))
    font = ImageFont.load_default(TEXT)
    names = [f"{manifest.rank_names[rank]} ({(table['rank'] == rank).sum():,})" for rank in shown]
    left = GAP * 2 + int(max(font.getlength(name) for name in names))
    pitch = size + GAP
    sheet = Image.new("RGB", (left + per_rank * pitch, len(shown) * pitch + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for row, rank in enumerate(shown):
        top = GAP + row * pitch
        draw.text((GAP, top + size / 2), names[row], fill="black", font=font, anchor="lm")
        # In an order that neither the files' names nor the split decide.
        images = sorted(
            table.loc[table["rank"] == rank, "path"], key=lambda path: hashlib.sha256(path.encode()).digest()
        )
        for column, path in enumerate(images[:per_rank]):
            picture = ImageOps.contain(open_rgb(manifest.root / path), (size, size))
            sheet.paste(picture, (left + column * pitch, top + (size - picture.height) // 2))
    return sheet


def _order(path: str) -> bytes:
    return hashlib.sha256(path.encode()).digest()


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
        cfg = plain_config(compose("train", list(words)))
    check_groups(cfg)
    return cfg


def _split(cfg: dict[str, Any]) -> Manifest:
    paths = cfg["paths"]
    data_dir, cache_dir = Path(paths["data"]), Path(paths["cache"])
    return split_manifest(cfg["dataset"], cfg["protocol"], data_dir=data_dir, cache_dir=cache_dir)


def _number(key: str, text: str, most: int) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise ConfigError(key, text, "is no such number", allowed=f"1…{most}")
    return int(text)
