"""Predictions of any number of images, a window of them in memory at a time, written in parts that survive a kill.

What grows with the number of images is on disk, except for names where `list_images` has to sort them: those of one
folder, or of all that a pattern matches. A kill costs one part. At the end parts are joined to one .csv or .parquet,
and broken images are listed beside it.
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

PART = 1024  # images; what a kill costs at most


def write_predictions(parts: Iterator[pd.DataFrame], out: Path, listed: Path) -> tuple[int, int]:
    """Writes predictions and, where there are any, a list of images that have none.

    Args:
        parts: from `parts_of`; held one at a time.
        out: a .csv or .parquet of predictions.
        listed: a .csv of the others; like `out` it is replaced when it is complete, and removed where it lists none.

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
        batch_size: images that are computed at once.
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
    """Predicts image after image into `folder/000000.parquet`, …; parts of the same images are not made again.

    A part has a row an image: `path`, the columns of `Predictions.to_frame`, and `error`, which says what is wrong with
    an image that has no prediction. Those with an error are looked at again: a share may have been away.

    Args:
        model: what predicts.
        paths: of images; where others are among them than in an earlier call, parts from there on are made anew.
        folder: of the parts.
        key: what the parts depend on; parts that were made with another one are removed.
        how: batches and columns.

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
            done = _done(part, chunk)
            bar.initial += len(done)
            bar.update(len(done))
            left = [place for place in range(len(chunk)) if place not in done.index]
            if left:
                frame = _part(model, [chunk[place] for place in left], pool, how, bar).set_index(pd.Index(left))
                frame = frame if done.empty else pd.concat([done, frame]).sort_index()
                write_atomically(part, frame.to_parquet)
                worked += len(left)
    while (rest := _part_file(folder, number + 1)).is_file():  # of images that are no longer there
        rest.unlink()
        number += 1
    return worked


def parts_of(folder: Path) -> Iterator[pd.DataFrame]:
    """The parts, in order."""
    for part in sorted(folder.glob("*.parquet")):
        yield pd.read_parquet(part)


def _part_file(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.parquet"


@contextmanager
def _decoders() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(num_threads()) as pool:
        try:
            yield pool
        except BaseException:  # Ctrl-C must not wait for all that is queued
            pool.shutdown(cancel_futures=True)
            raise


def _done(part: Path, paths: Sequence[str]) -> pd.DataFrame:
    """The rows without an error of a part, by their place; none where it is not there, torn, or of other images."""
    try:
        table = pd.read_parquet(part)
        if table["path"].tolist() == [_written(path) for path in paths]:
            return table[table["error"].isna()]
    except (OSError, ValueError, KeyError):
        pass
    return pd.DataFrame()


def _written(path: str) -> str:
    """A path as UTF-8 for a table; a file's name may be any bytes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _part(
    model: RankModel, paths: Sequence[str], pool: ThreadPoolExecutor, how: StreamOptions, bar: tqdm
) -> pd.DataFrame:
    """Predictions of some paths, in order, broken ones with an error in place of the rest."""
    tried = _ahead(model, paths, pool, max(how.batch_size, 2 * num_threads()))
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
        del batch, sound  # they would live on while the next ones are decoded
    table = pd.concat(frames) if frames else pd.DataFrame()
    table = table.reindex(range(len(paths)))
    table.insert(0, "path", pd.Series([_written(path) for path in paths], dtype="str"))
    table["error"] = pd.Series(errors, dtype="str").reindex(range(len(paths)))
    return table


def _ahead(model: RankModel, paths: Sequence[str], pool: ThreadPoolExecutor, window: int) -> Iterator[Tensor | str]:
    """Pixels, or what is wrong, of each path in order; at most a window of them is decoded and not taken yet."""

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
