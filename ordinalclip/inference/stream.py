"""Predictions of any number of images in constant memory, written in parts, so that an interrupted call is resumed.

`predict_parts` writes a file per `PART` images; a kill loses one part. `write_predictions` joins the parts to one .csv
or .parquet, and lists broken images in another file. Memory grows only with the names that `list_images` has to sort:
those of one folder, or all matches of a pattern.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor
from tqdm import tqdm

from ordinalclip.errors import DataError
from ordinalclip.images.decoding import num_threads
from ordinalclip.inference.model import NOT_FINITE, RankModel, chunks
from ordinalclip.system.files import write_atomically
from ordinalclip.system.terminal import progress

FORMATS = (".csv", ".parquet")

PART = 1024  # images per part


def write_predictions(parts: Iterator[pd.DataFrame], out: Path, listed: Path) -> tuple[int, int]:
    """Joins parts to one table of predictions and one list of broken images.

    Args:
        parts: from `parts_of`; held one at a time.
        out: a .csv or .parquet of predictions.
        listed: a .csv of broken images; replaced atomically like `out`, and removed if no image is broken.

    Returns:
        How many images were predicted, and how many are broken.
    """
    draft, broken_draft = (file.with_name(f".{file.name}.part") for file in (out, listed))
    done = broken = 0
    begun = False
    writer: pq.ParquetWriter | None = None
    try:
        for part in parts:
            wrong = part["error"].notna()
            if wrong.any():
                rows = part.loc[wrong, ["path", "error"]]
                rows.to_csv(broken_draft, mode="a" if broken else "w", header=broken == 0, index=False)
                broken += len(rows)
            sound = part.loc[~wrong].drop(columns="error")
            if len(sound) == 0:
                continue
            sound = sound.astype({"rank": "int64"})
            if out.suffix == ".csv":
                sound.to_csv(draft, mode="a" if begun else "w", header=not begun, index=False)
            else:
                table = pa.Table.from_pandas(sound, preserve_index=False)
                writer = pq.ParquetWriter(draft, table.schema) if writer is None else writer
                writer.write_table(table.cast(writer.schema))
            begun = True
            done += len(sound)
    finally:
        if writer is not None:
            writer.close()
    if begun:
        os.replace(draft, out)
    if broken:
        os.replace(broken_draft, listed)
    else:
        listed.unlink(missing_ok=True)
    return done, broken


@dataclass(frozen=True)
class StreamOptions:
    """Options of a stream of images.

    Attributes:
        batch_size: images per forward pass.
        top: see `Predictions.to_frame`.
        probs: see `Predictions.to_frame`.
        level: see `RankModel.predict`.
    """

    batch_size: int
    top: int = 0
    probs: bool = True
    level: float | None = None


def predict_parts(
    model: RankModel, paths: Iterator[str], folder: Path, key: Mapping[str, Any], how: StreamOptions
) -> int:
    """Predicts images into `folder/000001.parquet`, …; existing parts of the same images are kept.

    A part has a row per image: `path`, the columns of `Predictions.to_frame`, and `error`, the reason why an image has
    no prediction. Images with an error are tried again, since a network share may have been unavailable.

    Args:
        model: the model.
        paths: paths of images; if they differ from those of an earlier call, parts from there on are made again.
        folder: folder of the parts.
        key: everything that the parts depend on; parts with another key are removed.
        how: batch size and columns.

    Returns:
        How many images were worked on in this call.
    """
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / "key.json"
    text = json.dumps(key, sort_keys=True, default=str)
    if not note.is_file() or note.read_text(encoding="utf-8") != text:
        for part in folder.glob("*.parquet"):
            part.unlink()
        write_atomically(note, lambda draft: draft.write_text(text, encoding="utf-8"))
    worked = number = 0
    with _decoders() as pool, progress("predicting", None, " images", delay=0) as bar:
        for number, chunk in enumerate(chunks(paths, PART), start=1):
            part = _part_file(folder, number)
            done = _finished_rows(part, chunk)
            bar.initial += len(done)
            bar.update(len(done))
            left = [place for place in range(len(chunk)) if place not in done.index]
            if left:
                frame = _predict_part(model, [chunk[place] for place in left], pool, how, bar).set_index(pd.Index(left))
                frame = frame if done.empty else pd.concat([done, frame]).sort_index()
                write_atomically(part, frame.to_parquet)
                worked += len(left)
    while (rest := _part_file(folder, number + 1)).is_file():  # parts beyond the last image
        rest.unlink()
        number += 1
    return worked


def parts_of(folder: Path) -> Iterator[pd.DataFrame]:
    """Yields the parts in order."""
    for part in sorted(folder.glob("*.parquet")):
        yield pd.read_parquet(part)


def _part_file(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.parquet"


@contextmanager
def _decoders() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(num_threads()) as pool:
        try:
            yield pool
        except BaseException:  # Ctrl-C must not wait for queued images
            pool.shutdown(cancel_futures=True)
            raise


def _finished_rows(part: Path, paths: Sequence[str]) -> pd.DataFrame:
    """Rows of a part without an error, by their position; empty if the part is missing, damaged, or of other images."""
    try:
        table = pd.read_parquet(part)
        if table["path"].tolist() == [_written(path) for path in paths]:
            return table[table["error"].isna()]
    except (OSError, ValueError, KeyError):
        pass
    return pd.DataFrame()


def _written(path: str) -> str:
    """A path as valid UTF-8; file names may be any bytes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _predict_part(
    model: RankModel, paths: Sequence[str], pool: ThreadPoolExecutor, how: StreamOptions, bar: tqdm
) -> pd.DataFrame:
    """The table of a part: predictions of paths, in order; broken images have an error instead."""
    tried = _decode_ahead(model, paths, pool, max(how.batch_size, 2 * num_threads()))
    frames: list[pd.DataFrame] = []
    errors: dict[int, str] = {}
    place = 0
    for batch in chunks(tried, how.batch_size):
        sound = [(place + index, pixels) for index, pixels in enumerate(batch) if isinstance(pixels, Tensor)]
        errors |= {place + index: word for index, word in enumerate(batch) if isinstance(word, str)}
        place += len(batch)
        if sound:
            logits = model.logits(torch.stack([pixels for _, pixels in sound]))
            finite = logits.isfinite().all(1)
            places = np.array([index for index, _ in sound])
            errors |= dict.fromkeys(places[~finite.numpy()].tolist(), NOT_FINITE)
            if finite.any():
                frame = model.read(logits[finite], how.level).to_frame(top=how.top, probs=how.probs)
                frames.append(frame.set_index(pd.Index(places[finite.numpy()])))
        bar.update(len(batch))
        del batch, sound  # free them before the next batch is decoded
    table = pd.concat(frames) if frames else pd.DataFrame()
    table = table.reindex(range(len(paths)))
    table.insert(0, "path", pd.Series([_written(path) for path in paths], dtype="str"))
    table["error"] = pd.Series(errors, dtype="str").reindex(range(len(paths)))
    return table


def _decode_ahead(
    model: RankModel, paths: Sequence[str], pool: ThreadPoolExecutor, window: int
) -> Iterator[Tensor | str]:
    """Yields pixels or an error message per path, in order; at most `window` images are decoded ahead."""

    def read(path: str) -> Tensor | str:
        try:
            return model.pixels(path)
        except DataError as error:
            return str(error).removeprefix(f"{path}: ")

    rest = iter(paths)
    waiting = [pool.submit(read, path) for path in islice(rest, window)]
    while waiting:
        yield waiting.pop(0).result()
        waiting.extend(pool.submit(read, path) for path in islice(rest, 1))
