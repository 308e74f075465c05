"""Runs of a made data set whose every image has a known error, and their comparison."""

from pathlib import Path
from typing import Any

import numpy as np

from analysis.comparison import Comparison, compare
from analysis.frame import frame_of_folder
from tests.analysis.made_runs import made_run, with_predictions

RANK = np.tile(np.arange(1, 9), 25)  # 200 images whose errors never leave the scale


def make(root: Path, prompt: str, seed: int, error: np.ndarray | float, **settings: Any) -> Path:
    """A run whose every image has this absolute error."""
    known = {"prompt.name": prompt, "seed": seed} | {key.replace("__", "."): value for key, value in settings.items()}
    directory = made_run(root, f"{prompt}{seed}{len(list(root.glob('made-*')))}", known)
    return with_predictions(directory, RANK, RANK + error)


def compared(root: Path, **options: Any) -> Comparison:
    """Of these runs by prompt, by their MAE."""
    return compare(frame_of_folder(root), ["prompt.name"], "test/mae", less=True, **options)
