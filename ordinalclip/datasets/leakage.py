"""What is in more than one split: subjects, groups, byte-identical images, and images that look alike.

Near duplicates are found by a perceptual hash. Data sets differ in how alike their images are, so the threshold is set
by the data set: each test image is compared with the others as they are and mirrored. A mirrored image is no duplicate
although it belongs to the set, and the threshold is what hardly any mirrored pair passes. For sets of symmetric images
this finds too few rather than too many. Where a mirrored image does not belong to the set (a digit) it would find too
many, so it is for photos: `photos: true` in a data set's yaml.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from scipy.fft import dctn

from ordinalclip.datasets.manifest import ALL_SPLITS, CALIBRATION, SPLITS, Manifest
from ordinalclip.errors import DataError
from ordinalclip.images.decoding import open_rgb
from ordinalclip.system.files import write_atomically
from ordinalclip.system.interruption import check_stop
from ordinalclip.system.terminal import progress

KINDS = {"subjects": "subject", "groups": "group", "duplicates": "sha256"}
_WORDS = {"subjects": "subjects", "groups": "groups", "duplicates": "images, equal to the byte,"}
NUM_EXAMPLES = 5

SIDE, KEPT = 32, 8  # pixels looked at, frequencies kept: 64 bits
NULL_RATE = 0.001  # share of the test images that may pass when compared with mirror images
MAX_PAIRS = 10_000_000_000  # of a test image and another one; more take minutes
NUM_DUPLICATE_EXAMPLES = 10


def measure_leakage(manifest: Manifest) -> dict[str, Any]:
    """Count what several splits share.

    Args:
        manifest: with its split; rows without one do not count.

    Returns:
        For each of `KINDS`: `known`, images for which it is known; `units`, how many subjects (groups, different
        images) these have; `shared`, how many of them stand in more than one split; `pairs`, that number for each two
        splits; `test_images`, images of the test split whose subject (group, bytes) is also in another split;
        `test_rate`, their share of the test images for which it is known, None where that is none; `examples`.
    """
    table = manifest.table[manifest.table["split"].notna()]
    return {kind: _measure(table, column) for kind, column in KINDS.items()}


def _measure(table: pd.DataFrame, column: str) -> dict[str, Any]:
    known = table[table[column].notna()]
    codes, units = pd.factorize(known[column])
    splits = [split for split in ALL_SPLITS if split in SPLITS or (known["split"] == split).any()]
    present = {split: set(codes[(known["split"] == split).to_numpy()]) for split in splits}
    pairs = {f"{one}-{other}": len(present[one] & present[other]) for one, other in combinations(splits, 2)}
    shared = set().union(*(present[one] & present[other] for one, other in combinations(splits, 2)))
    tested = codes[(known["split"] == "test").to_numpy()]
    others = set().union(*(units for split, units in present.items() if split != "test"))
    seen = int(pd.Series(tested).isin(list(others)).sum())
    examples = sorted(shared)[:NUM_EXAMPLES]
    if column == "sha256":
        where = pd.Series(codes).isin(examples).to_numpy()
        named = known["path"].to_numpy()[where][:NUM_EXAMPLES].tolist()
    else:
        named = [str(units[code]) for code in examples]
    return {
        "known": len(known),
        "units": len(units),
        "shared": len(shared),
        "pairs": pairs,
        "test_images": seen,
        "test_rate": seen / len(tested) if len(tested) else None,
        "examples": named,
    }


def leakage_notes(report: Mapping[str, Any]) -> list[str]:
    """A warning for each kind of which there is any."""
    notes = []
    for kind, found in report.items():
        if kind in KINDS and found["shared"] > 0:
            rate = f" ({found['test_rate']:.1%} of the test images)" if found["test_images"] else ""
            more = " …" if found["shared"] > len(found["examples"]) else ""
            notes.append(
                f"warning: {found['shared']:,} {_WORDS[kind]} stand in more than one split{rate}, so the test is "
                f"easier than it seems: {', '.join(found['examples'])}{more}"
            )
    return notes


def forbid_leakage(name: str, report: Mapping[str, Any]) -> None:
    """Refuses a split that leaks.

    Raises:
        DataError: telling all that is shared.
    """
    notes = leakage_notes(report)
    if notes:
        told = "\n".join(f"  {note.removeprefix('warning: ')}" for note in notes)
        raise DataError(
            f"{name}: its splits share what protocol.leakage=forbid says they must not:\n{told}\n"
            "  what to do: protocol=folds or protocol=holdout keeps subjects and groups whole; images that are equal "
            "have to be taken out; protocol.leakage=warn goes on"
        )


def leakage_metrics(report: Mapping[str, Any]) -> dict[str, float]:
    """For MLflow: `leakage/<kind>` is the number shared, `leakage/<kind>_test_rate` the share of test images."""
    values: dict[str, float] = {}
    for kind, found in report.items():
        if found["known"] > 0:
            values[f"leakage/{kind}"] = float(found["shared"])
            values[f"leakage/{kind}_test_rate"] = float(found["test_rate"] or 0.0)
    return values


def near_duplicates(manifest: Manifest, cache_dir: Path) -> dict[str, Any]:
    """Count test images that are nearly equal to one of another split, but not equal to the byte.

    Args:
        manifest: with its split.
        cache_dir: remembers the outcome, by the manifest's content hash, and the images' hashes.

    Returns:
        `known`: test images looked at, none where there are more than `MAX_PAIRS` pairs; `shared`, of them nearly
        equal; `test_rate`, their share; `threshold`: bits of 64 that may differ, None where even equal ones do not
        count; `examples`: pairs of paths and their distance.
    """
    table = manifest.table
    fitted = np.flatnonzero(table["split"].isin(["train", "val", CALIBRATION]).to_numpy())
    tested = np.flatnonzero((table["split"] == "test").to_numpy())
    if len(fitted) * len(tested) > MAX_PAIRS:
        return {"known": 0, "shared": 0, "test_rate": None, "threshold": None, "examples": []}
    memory = cache_dir / "near_duplicates" / f"{manifest.content_hash}.json"
    if memory.is_file():
        found: dict[str, Any] = json.loads(memory.read_text(encoding="utf-8"))
        return found
    seen = _hashes(manifest, np.concatenate([tested, fitted]), cache_dir)
    (ours, _), (theirs, mirrored) = np.split(seen, [len(tested)], axis=1)
    codes = pd.factorize(table["sha256"])[0]
    distance, nearest = _nearest(ours, theirs, codes[tested], codes[fitted])
    null, _ = _nearest(ours, mirrored, codes[tested], codes[fitted])
    threshold = _threshold(null)
    near = np.flatnonzero(distance <= threshold)
    near = near[np.argsort(distance[near], kind="stable")]
    paths = table["path"].to_numpy()
    examples = [[paths[tested[i]], paths[fitted[nearest[i]]], int(distance[i])] for i in near[:NUM_DUPLICATE_EXAMPLES]]
    found = {
        "known": len(tested),
        "shared": len(near),
        "test_rate": len(near) / len(tested),
        "threshold": threshold if threshold >= 0 else None,
        "examples": examples,
    }
    write_atomically(memory, lambda part: part.write_text(json.dumps(found), encoding="utf-8"))
    return found


def perceptual_hash(image: Image.Image) -> tuple[int, int]:
    """64 bits of an image and of its mirror image: which low frequencies are stronger than the median one."""
    grey = np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float64)
    return _bits(grey), _bits(grey[:, ::-1])


def _bits(grey: np.ndarray) -> int:
    low = dctn(grey, norm="ortho")[:KEPT, :KEPT].ravel()
    bits = low > np.median(low[1:])  # the first is the image's brightness
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _threshold(null: np.ndarray) -> int:
    """The largest distance that at most `NULL_RATE` of the mirrored comparisons reach; -1 where there is none."""
    allowed = int(NULL_RATE * len(null))
    return int(np.sort(null)[allowed]) - 1


def _nearest(one: np.ndarray, other: np.ndarray, code: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each hash the least distance to another file's, and where that is."""
    distance, place = np.empty(len(one), dtype=np.int64), np.empty(len(one), dtype=np.int64)
    step = max(1, 4_000_000 // len(other))
    for start in range(0, len(one), step):
        rows = slice(start, start + step)
        apart = np.bitwise_count(one[rows, None] ^ other[None, :])
        apart[code[rows, None] == codes[None, :]] = 8 * KEPT + 1  # equal to the byte: told elsewhere
        place[rows] = apart.argmin(axis=1)
        distance[rows] = apart[np.arange(len(apart)), place[rows]]
    return distance, place


def _hashes(manifest: Manifest, rows: np.ndarray, cache_dir: Path) -> np.ndarray:
    """[2, N] of some rows: as they are, and mirrored. What was computed before is remembered by the images' content."""
    images, files = manifest.hashes()[rows], [manifest.files()[row] for row in rows]
    key = hashlib.sha256("".join(sorted(set(images))).encode()).hexdigest()[:16]
    memory = cache_dir / "near_duplicates" / f"{key}.parquet"
    if memory.is_file():
        known = pd.read_parquet(memory).set_index("sha256")
    else:
        first = pd.Series(files, images).groupby(level=0).first()
        known = pd.DataFrame(_hash_all(list(first)), first.index, columns=["plain", "mirrored"]).astype("uint64")
        table = known.rename_axis("sha256").reset_index()
        write_atomically(memory, lambda part: table.to_parquet(part, index=False))
    return known.loc[images, ["plain", "mirrored"]].to_numpy(dtype=np.uint64).T


def _hash_all(files: Sequence[Path]) -> list[tuple[int, int]]:
    found = []
    with (
        progress("looking for near duplicates", len(files), " images") as bar,
        ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool,
    ):
        try:
            for pair in pool.map(lambda file: perceptual_hash(open_rgb(file)), files):
                check_stop()
                found.append(pair)
                bar.update()
        except BaseException:  # no signal waits for all that is queued
            pool.shutdown(cancel_futures=True)
            raise
    return found
