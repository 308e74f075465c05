"""Real images of a run's own data, to check an export on and to read ranges off."""

from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from ordinalclip.errors import DataError
from ordinalclip.inference.reading import read_rgb
from ordinalclip.preprocessing import Preprocessing
from ordinalclip.runs import Run


def recorded_images(run: Run) -> pd.DataFrame:
    """`path` and `split` of a run's images; no rows where its record has none, as that of an imported run."""
    file = run.directory / "manifest.parquet"
    if not file.is_file():
        return pd.DataFrame({"path": [], "split": []}, dtype="str")
    return pd.read_parquet(file, columns=["path", "split"]).astype("str")


def sample_pixels(run: Run, preprocessing: Preprocessing, split: str, num_images: int) -> Tensor:
    """Preprocessed images [N, 3, H, W] of a split, spread over it; fewer, or none, where files are gone.

    Args:
        run: whose record names the images.
        preprocessing: of its model.
        split: of the record.
        num_images: N at most.
    """
    table = recorded_images(run)
    root = Path((run.read_json("provenance.json") or {}).get("root", "."))
    paths = table.loc[table["split"] == split, "path"]
    step = max(1, len(paths) // num_images)
    pixels = []
    for path in paths.iloc[::step].iloc[:num_images]:
        try:
            pixels.append(preprocessing.to_tensor(read_rgb(root / path)))
        except DataError:  # moved since; others are looked at
            continue
    return torch.stack(pixels) if pixels else torch.empty(0, 3, preprocessing.size, preprocessing.size)
