"""`python -m ordinalclip.predict`: predicts the ranks of images with a trained run.

All words are checked before torch is imported.
"""

import logging
import math
import shutil
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ordinalclip.cli.command import read_flag, read_words, run_command
from ordinalclip.errors import ConfigError, DataError
from ordinalclip.inference.listing import list_images
from ordinalclip.inference.naming import RUN_SYNTAX

log = logging.getLogger("ordinalclip")

_KEYS = ("run", "images", "out", "batch_size", "level", "top", "probs", "device", "paths.runs", "overwrite", "trusted")
_FORMATS = (".csv", ".parquet")
_USAGE = """\
OrdinalCLIP predicts the ranks of images with a trained run; no text tower is needed any more.

  python -m ordinalclip.predict run=RUN images=IMAGES [out=predictions.csv] [KEY=VALUE …]

  run         a run's directory, its name or id, mlflow:ID, best:sweep=NAME,metric=val/mae, or an exported folder
  images      a folder (and those in it), a pattern ('photos/**/*.jpg'), an image, or a .csv with a column path
  out         .csv or .parquet; by default predictions.csv
  level=0.8   coverage of the intervals, one that the run was calibrated for; by default mostly 0.9
  top=3       adds the three most probable ranks
  probs=false leaves out the probabilities, one column p_<rank> per rank
  batch_size  32; images per batch
  device      auto, cpu, cuda, mps
  paths.runs  folder of the runs; by default runs
  overwrite=true replaces files that are there
  trusted=true  for exported folders whose maker you trust: archives of torch.export run code of theirs

There is one row per image: path, rank, name, value, expectation, lower, upper, coverage, p_<rank> …; value, expectation
and the interval from lower to upper are in the unit of the data. An interval surrounds the median rank; value, the
readout of the run's protocol, may lie outside. Images that cannot be read are listed in <out>-broken.csv. An
interrupted command, typed again, continues, and tries those images again.

Examples
  python -m ordinalclip.predict run=0123456789 images=photos
  python -m ordinalclip.predict run=best:sweep=first,metric=val/mae images='photos/*.jpg' out=ranks.parquet top=3"""


def main() -> None:
    """Entry point."""
    run_command(predict, _USAGE)


def predict(words: Sequence[str]) -> Path:
    """Predicts the ranks of images and writes them to a file.

    Args:
        words: words of the form key=value; `run=` and `images=` are required.

    Returns:
        The file of predictions.

    Raises:
        ConfigError: a word cannot be used. Raised before torch is imported.
        DataError: the run is damaged, or none of the images can be read.
    """
    images = "a folder, a pattern, an image, or a .csv with a column path"
    typed = read_words(words, _KEYS, {"run": RUN_SYNTAX, "images": images})
    batch_size, top = _number(typed, "batch_size", 32, least=1), _number(typed, "top", 0, least=0)
    probs, overwrite = read_flag(typed, "probs", True), read_flag(typed, "overwrite", False)
    trusted, level = read_flag(typed, "trusted", False), _share(typed, "level")
    out = Path(typed.get("out", "predictions.csv")).expanduser()
    if out.suffix not in _FORMATS:
        raise ConfigError("out", out, "is no format that is written", allowed="a .csv or a .parquet")
    listed = out.with_name(f"{out.stem}-broken.csv")
    for file in (out, listed):
        if file.exists() and not overwrite:
            raise ConfigError("out", out, f"{file.name} is there already", remedy="overwrite=true, or another name")
    if not out.parent.is_dir():
        raise ConfigError("out", out, f"there is no folder {out.parent}", remedy=f"mkdir -p {out.parent}")
    paths = list_images(typed["images"])

    from PIL import Image

    from ordinalclip.inference.opening import load
    from ordinalclip.inference.stream import StreamOptions, parts_of, predict_parts, write_predictions

    model = load(typed["run"], device=typed.get("device", "auto"), runs=typed.get("paths.runs"), trusted=trusted)
    if top > len(model.ranks.names):
        raise ConfigError("top", top, "is more than there are ranks", allowed=f"0…{len(model.ranks.names)}")
    model.check_level(level)
    log.info("%s", "  ".join(f"{key} {value}" for key, value in model.facts.items() if value is not None))
    if model.facts.get("selected_on") == "test":
        log.warning("the run's epoch was selected on test: its test scores are no estimate for these images")
    started = time.perf_counter()
    made_with = {
        "model": [dict(model.facts), model.sums, asdict(model.ranks), asdict(model.preprocessing), model.calibration],
        "images": typed["images"],
        "columns": [top, probs, level],
    }
    parts = out.with_name(f".{out.name}.parts")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the model reports its own limit by image
        worked = predict_parts(model, paths, parts, made_with, StreamOptions(batch_size, top, probs, level))
    seconds = time.perf_counter() - started
    done, broken = write_predictions(parts_of(parts), out, listed)
    shutil.rmtree(parts)
    if not done:
        raise DataError(f"images={typed['images']}: none of the {broken:,} images can be read; {listed} says why")
    if broken:
        log.warning("%s images cannot be read: %s", f"{broken:,}", listed)
    before = done + broken - worked
    earlier = f", {before:,} of them before" if before else ""
    log.info("%s: %s images%s, %.0f images/s", out, f"{done:,}", earlier, worked / seconds)
    return out


def _number(typed: dict[str, str], key: str, default: int, *, least: int) -> int:
    word = typed.get(key, str(default))
    if not word.isdecimal() or int(word) < least:
        raise ConfigError(key, word, "is no such number", allowed=f"{least} or more")
    return int(word)


def _share(typed: dict[str, str], key: str) -> float | None:
    if key not in typed:
        return None
    try:
        share = float(typed[key])
    except ValueError:
        share = math.nan
    if not 0 < share < 1:
        raise ConfigError(key, typed[key], "is no share", allowed="a number between 0 and 1, such as 0.9")
    return share


if __name__ == "__main__":
    main()
