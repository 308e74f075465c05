"""Leakage between splits: shared subjects and groups, byte-identical images, and near duplicates.

`measure_leakage` counts what is in more than one split; it is fast and runs for every training. `near_duplicates` reads
all images and runs only for photos (`photos: true` in a data set's yaml).

Near duplicates are found by a 64-bit perceptual hash. Data sets differ in how alike their images are, so the threshold
comes from the data set: each test image is compared with the other images and with their mirror images. A mirror image
is as alike as any image of the set without being a duplicate, so the threshold is the distance that hardly any mirrored
pair reaches. In sets of symmetric images it finds too few duplicates; where mirror images do not belong to the set,
such as digits, it would find too many.
"""

import hashlib
import json
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from ordinalclip.datasets.manifest import ALL_SPLITS, CALIBRATION, SPLITS, Manifest
from ordinalclip.errors import DataError
from ordinalclip.images.decoding import map_threads, open_rgb
from ordinalclip.system.files import write_atomically
from ordinalclip.system.terminal import progress

KINDS = {"subjects": "subject", "groups": "group", "duplicates": "sha256"}  # kind → column of the manifest
NUM_EXAMPLES = 5
_WORDS = {"subjects": "subjects", "groups": "groups", "duplicates": "images, equal to the byte,"}

HASH_SIDE = 32  # pixels that an image is resized to before it is hashed
HASH_FREQUENCIES = 8  # lowest frequencies that are kept in each direction: 64 bits
MIRRORED_RATE = 0.001  # share of the test images that may be below the threshold when compared with mirror images
MAX_PAIRS = 10_000_000_000  # of a test image and another image; more take minutes
NUM_DUPLICATE_EXAMPLES = 10


def measure_leakage(manifest: Manifest) -> dict[str, Any]:
    """Counts the subjects, groups and byte-identical images that are in more than one split.

    Args:
        manifest: with its split. Rows without a split do not count.

    Returns:
        For each of `KINDS`, where a unit is a subject, a group or an image's bytes:

        - `known`: number of images whose unit is known.
        - `units`: number of different units.
        - `shared`: number of units in more than one split, and `pairs`: that number for each pair of splits.
        - `test_images`: number of test images whose unit is also in another split.
        - `test_rate`: their share of the test images whose unit is known; None if there are none.
        - `examples`: units, or paths of byte-identical images.
    """
    table = manifest.table[manifest.table["split"].notna()]
    return {kind: _measure(table, column) for kind, column in KINDS.items()}


def _measure(table: pd.DataFrame, column: str) -> dict[str, Any]:
    known = table[table[column].notna()]
    codes, units = pd.factorize(known[column])
    splits = [split for split in ALL_SPLITS if split in SPLITS or (known["split"] == split).any()]
    present = {split: set(codes[(known["split"] == split).to_numpy()]) for split in splits}
    common = {f"{one}-{other}": present[one] & present[other] for one, other in combinations(splits, 2)}
    shared = set().union(*common.values())
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
        "pairs": {pair: len(both) for pair, both in common.items()},
        "test_images": seen,
        "test_rate": seen / len(tested) if len(tested) else None,
        "examples": named,
    }


def leakage_notes(report: Mapping[str, Any]) -> list[str]:
    """Returns a warning for each kind of leakage in a report."""
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
    """Raises DataError with all leakage of a report, if there is any."""
    notes = leakage_notes(report)
    if notes:
        found = "\n".join(f"  {note.removeprefix('warning: ')}" for note in notes)
        raise DataError(
            f"{name}: the splits share what protocol.leakage=forbid does not allow:\n{found}\n"
            "  what to do: protocol=folds or protocol=holdout keeps subjects and groups whole; remove images that are "
            "equal; protocol.leakage=warn only warns"
        )


def leakage_metrics(report: Mapping[str, Any]) -> dict[str, float]:
    """Returns `leakage/<kind>`, the number shared, and `leakage/<kind>_test_rate`, a share."""
    values: dict[str, float] = {}
    for kind, found in report.items():
        if found["known"] > 0:
            values[f"leakage/{kind}"] = float(found["shared"])
            values[f"leakage/{kind}_test_rate"] = float(found["test_rate"] or 0.0)
    return values


def near_duplicates(manifest: Manifest, cache_dir: Path) -> dict[str, Any]:
    """Counts the test images that look like an image of another split but are not byte-identical to it.

    Args:
        manifest: with its split.
        cache_dir: caches the result by the manifest's content hash, and the images' hashes.

    Returns:
        - `known`: number of test images that were compared; 0 if there are more than `MAX_PAIRS` pairs.
        - `shared`: number of near duplicates, and `test_rate`: their share.
        - `threshold`: number of bits of 64 that may differ; None if not even equal hashes count.
        - `examples`: the two paths and the distance of the nearest pairs.
    """
    table = manifest.table
    fitted = np.flatnonzero(table["split"].isin(["train", "val", CALIBRATION]).to_numpy())
    tested = np.flatnonzero((table["split"] == "test").to_numpy())
    if len(fitted) * len(tested) > MAX_PAIRS:
        return {"known": 0, "shared": 0, "test_rate": None, "threshold": None, "examples": []}
    cache_file = cache_dir / "near_duplicates" / f"{manifest.content_hash}.json"
    if cache_file.is_file():
        found: dict[str, Any] = json.loads(cache_file.read_text(encoding="utf-8"))
        return found
    hashes = _hash_rows(manifest, np.concatenate([tested, fitted]), cache_dir)
    (ours, _), (theirs, mirrored) = np.split(hashes, [len(tested)], axis=1)
    codes = pd.factorize(table["sha256"])[0]
    distance, nearest = _nearest(ours, theirs, codes[tested], codes[fitted])
    mirrored_distance, _ = _nearest(ours, mirrored, codes[tested], codes[fitted])
    threshold = _threshold(mirrored_distance)
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
    write_atomically(cache_file, lambda part: part.write_text(json.dumps(found), encoding="utf-8"))
    return found


def perceptual_hash(image: Image.Image) -> tuple[int, int]:
    """Returns 64 bits of an image and of its mirror image: which low frequencies are above their median."""
    gray = image.convert("L").resize((HASH_SIDE, HASH_SIDE), Image.Resampling.BOX)
    pixels = np.asarray(gray, dtype=np.float64)
    return _hash_bits(pixels), _hash_bits(pixels[:, ::-1])


def _hash_bits(gray: np.ndarray) -> int:
    from scipy.fft import dctn  # takes a tenth of a second, for which a refused setting does not wait

    low = dctn(gray, norm="ortho")[:HASH_FREQUENCIES, :HASH_FREQUENCIES].ravel()
    bits = low > np.median(low[1:])  # the first coefficient is the image's brightness
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _threshold(mirrored_distance: np.ndarray) -> int:
    """Returns the largest distance that at most `MIRRORED_RATE` of the mirrored pairs reach; -1 if there is none."""
    allowed = int(MIRRORED_RATE * len(mirrored_distance))
    return int(np.sort(mirrored_distance)[allowed]) - 1


def _nearest(
    ours: np.ndarray, theirs: np.ndarray, code: np.ndarray, codes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the distance of each hash to the nearest one of another file, and its position.

    Args:
        ours: hashes [N].
        theirs: hashes [M].
        code: number of the file content of ours [N]; equal ones are byte-identical.
        codes: the same of theirs [M].
    """
    distance, place = np.empty(len(ours), dtype=np.int64), np.empty(len(ours), dtype=np.int64)
    step = max(1, 4_000_000 // len(theirs))
    for start in range(0, len(ours), step):
        rows = slice(start, start + step)
        apart = np.bitwise_count(ours[rows, None] ^ theirs[None, :])
        apart[code[rows, None] == codes[None, :]] = HASH_FREQUENCIES**2 + 1  # byte-identical: see `measure_leakage`
        place[rows] = apart.argmin(axis=1)
        distance[rows] = apart[np.arange(len(apart)), place[rows]]
    return distance, place


def _hash_rows(manifest: Manifest, rows: np.ndarray, cache_dir: Path) -> np.ndarray:
    """Returns the hashes [2, N] of some rows and of their mirror images, cached by the images' content."""
    images, files = manifest.hashes()[rows], [manifest.files()[row] for row in rows]
    key = hashlib.sha256("".join(sorted(set(images))).encode()).hexdigest()[:16]
    cache_file = cache_dir / "near_duplicates" / f"{key}.parquet"
    if cache_file.is_file():
        known = pd.read_parquet(cache_file).set_index("sha256")
    else:
        first = pd.Series(files, images).groupby(level=0).first()
        pairs = []
        with progress("looking for near duplicates", len(first), " images") as bar:
            for pair in map_threads(lambda file: perceptual_hash(open_rgb(file)), first):
                pairs.append(pair)
                bar.update()
        known = pd.DataFrame(pairs, first.index, columns=["plain", "mirrored"]).astype("uint64")
        table = known.rename_axis("sha256").reset_index()
        write_atomically(cache_file, lambda part: table.to_parquet(part, index=False))
    return known.loc[images, ["plain", "mirrored"]].to_numpy(dtype=np.uint64).T
