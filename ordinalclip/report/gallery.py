"""All figures of a run, drawn on demand from its record: their data, the functions that draw them, and their captions.

A new figure is a function in `figures`, a line in `TEST_FIGURES` or `RANK_FIGURES`, and a caption in `SECTIONS`.
matplotlib is imported when the first figure is drawn.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import yaml

from ordinalclip.config.identity import selection_metric
from ordinalclip.metrics.ordinality import Features, Matrix
from ordinalclip.report.figures.calibration import pit_figure, reliability_figure, risk_coverage_figure
from ordinalclip.report.figures.canvas import Scale
from ordinalclip.report.figures.images import best_and_worst, images_figure, samples_figure
from ordinalclip.report.figures.learning import learning_curves, learning_figure
from ordinalclip.report.figures.predictions import (
    confusion_counts,
    confusion_figure,
    predicted_figure,
    rank_error_figure,
)
from ordinalclip.report.figures.rank_features import (
    interpolation_figure,
    path_figure,
    similarity_figure,
    violations_figure,
)
from ordinalclip.runs.run import Run
from ordinalclip.scoring.ordinality import logged_ordinality, ordinality_of_features, rank_features_of

log = logging.getLogger("ordinalclip")

# Section of the page → figure → caption.
SECTIONS = {
    "Errors": {
        "confusion": "The share of images of each true rank (rows) by predicted rank. Grey rows have no images.",
        "rank_error": (
            "Error and bias (predicted minus true) of each true rank, above its number of test images. Values of few "
            "images are uncertain. Dotted: the error of the constant predictor, the training median."
        ),
        "predicted": (
            "Predicted against true rank of every test image, with the median and the central 80 % of each true rank."
        ),
    },
    "Calibration": {
        "reliability": (
            "Left: the predicted probability of rank ≤ k against the share of images for which it is true; one color "
            "per threshold k, black is all thresholds. Right: the same for the most probable rank. The diagonal is "
            "perfect calibration; below it, predictions are overconfident. Bins of fewer than ten images are omitted."
        ),
        "pit": (
            "Position of the true rank in the predicted distribution (probability integral transform). Flat: "
            "calibrated; high at both ends: overconfident; high at the right end: predictions too low."
        ),
        "risk_coverage": (
            "Error of the remaining images when the least certain ones are rejected. A useful confidence falls to the "
            "left; dotted: the best possible order."
        ),
        "samples": "Predicted distributions across the scale: for each shown rank, the image with its median error.",
    },
    "Order of the ranks": {
        "similarity": (
            "Cosine similarity of the rank features. Ordered ranks show a bright diagonal that fades evenly."
        ),
        "similarity_softmax": "The softmax of each row of these similarities, as in the paper's figures.",
        "violations": (
            "Left: steps away from a rank at which the similarity to it rises instead of falling. Right: for each pair "
            "of neighboring ranks, the share of the other ranks that see them in the wrong order."
        ),
        "path": "Rank features projected on their first two principal components, connected in rank order.",
        "interpolation": "The weight of each learned base rank in each rank. The weights are fixed, not learned.",
    },
    "Learning": {
        "learning": (
            "Loss, selection metric and ordinality by epoch; epoch 0 is before training. Dashed: the selected epoch."
        ),
    },
    "Images": {
        "best_images": "The test images with the smallest errors. Dashed: true rank; triangle: prediction.",
        "worst_images": (
            "The test images with the largest errors. Check these for wrong labels and for systematic failures."
        ),
    },
}


class FigureData:
    """Data of a run's figures; each part of the record is read once, at its first use.

    Args:
        run: A tested run, or an imported run, which may be untested.
        rank_names: Names of the R ranks.
    """

    def __init__(self, run: Run, rank_names: Sequence[str]) -> None:
        self.run = run
        self.scale = Scale(rank_names, (run.read_json("ranks.json") or {}).get("unit", ""))

    @cached_property
    def cfg(self) -> dict[str, Any]:
        """The run's configuration."""
        return yaml.safe_load((self.run.directory / "config.yaml").read_text(encoding="utf-8"))

    @cached_property
    def readout(self) -> str:
        """The declared readout."""
        return self.cfg["protocol"]["readout"]

    @cached_property
    def stages(self) -> dict[str, Features]:
        """Rank features [R, D] at the best epoch, and before training if recorded."""
        return dict(rank_features_of(self.run))

    @cached_property
    def ordinality(self) -> dict[str, Any]:
        """Ordinality scores of `stages`, recomputed because records of older versions have fewer scores."""
        return ordinality_of_features(self.stages)

    @cached_property
    def tested(self) -> bool:
        """Whether there are test predictions."""
        return self.run.read_json("test_stats.json") is not None

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """One row per test image."""
        return pd.read_parquet(self.run.directory / "predictions.parquet")

    @cached_property
    def probs(self) -> Matrix:
        """Probabilities of the test images [N, R]."""
        return np.stack(self.predictions["probs"].to_list())

    @cached_property
    def rank(self) -> npt.NDArray[np.int64]:
        """True ranks of the test images [N]."""
        return self.predictions["rank"].to_numpy()

    @cached_property
    def predicted(self) -> Matrix:
        """The declared readout [N], in ranks."""
        if self.readout not in self.predictions:  # a record of an older version
            return self.predictions["expectation"].round().to_numpy(float)
        return self.predictions[self.readout].to_numpy(float)

    @cached_property
    def details(self) -> dict[str, Any]:
        """Curves and errors by rank, recomputed from the predictions if an older version wrote the record."""
        found = self.run.read_json("test_details.json")
        if found is None:
            from ordinalclip.scoring.details import details
            from ordinalclip.scoring.predictions import read_predictions

            found = details(read_predictions(self.run))
        return found

    @cached_property
    def images(self) -> list[Path]:
        """Paths of the test images [N]; files may be missing."""
        root = Path((self.run.read_json("provenance.json") or {}).get("root", ""))
        return [root / path for path in self.predictions["path"]]

    @cached_property
    def weights(self) -> Matrix | None:
        """Interpolation weights [R, K], or None if the prompt has no base ranks."""
        prompt = self.cfg["prompt"]
        if "num_base_ranks" not in prompt or "interpolation" not in prompt:
            return None
        from ordinalclip.prompts.interpolation import interpolation_weights

        return interpolation_weights(prompt["interpolation"], len(self.scale), prompt["num_base_ranks"]).numpy()


def _confusion(data: FigureData, stem: Path) -> object:
    readout = "argmax" if data.readout == "expectation" else data.readout  # an expectation is no rank
    predicted = data.predictions[readout].to_numpy().astype(np.int64)
    return confusion_figure(confusion_counts(data.rank, predicted, len(data.scale)), data.scale, stem, readout=readout)


def _rank_error(data: FigureData, stem: Path) -> object:
    constant = data.run.read_json("test_stats.json").get("test/constant_median_rank")
    return rank_error_figure(data.details["ranks"], data.scale, stem, constant=constant)


def _images(data: FigureData, stem: Path, *, worst: bool) -> object:
    rows = best_and_worst(data.probs, data.rank, data.predicted)[worst]
    if not rows:
        return None
    return images_figure(rows, data.images, data.probs, data.rank, data.predicted, data.scale, stem)


def _learning(data: FigureData, stem: Path) -> object:
    name, largest = selection_metric(data.cfg)
    curves = learning_curves(data.run.metrics(), name, largest=largest)
    if len(curves.epoch) == 0:
        return None
    before = logged_ordinality(data.ordinality["before"]) if "before" in data.ordinality else {}
    on_test = data.cfg["protocol"]["select_on"] == "test"
    return learning_figure(curves, name, stem, before=before, on_test=on_test)


def _similarity(data: FigureData, stem: Path, *, softmax: bool) -> object:
    adjusted = {stage: scores["adjusted"] for stage, scores in data.ordinality.items()}
    return similarity_figure(data.stages, data.scale, stem, adjusted=adjusted, softmax=softmax)


# Name → function that draws the figure, or returns None if the run has no data for it. In the order of drawing.
Draw = Callable[[FigureData, Path], object]
TEST_FIGURES: Mapping[str, Draw] = {
    "confusion": _confusion,
    "rank_error": _rank_error,
    "predicted": lambda d, stem: predicted_figure(d.rank, d.predicted, d.scale, stem, readout=d.readout),
    "reliability": lambda d, stem: reliability_figure(d.details, d.scale, stem),
    "pit": lambda d, stem: pit_figure(d.details["pit"], stem),
    "risk_coverage": lambda d, stem: risk_coverage_figure(d.details["risk_coverage"], stem),
    "samples": lambda d, stem: samples_figure(d.probs, d.rank, d.predicted, d.scale, stem),
    "best_images": lambda d, stem: _images(d, stem, worst=False),
    "worst_images": lambda d, stem: _images(d, stem, worst=True),
}
RANK_FIGURES: Mapping[str, Draw] = {
    "learning": _learning,
    "similarity": lambda d, stem: _similarity(d, stem, softmax=False),
    "similarity_softmax": lambda d, stem: _similarity(d, stem, softmax=True),
    "violations": lambda d, stem: violations_figure(d.stages["best"], d.scale, stem),
    "interpolation": lambda d, stem: None if d.weights is None else interpolation_figure(d.weights, d.scale, stem),
    "path": lambda d, stem: path_figure(d.stages, d.scale, stem),
}


def has_figures(run: Run) -> bool:
    """Returns whether a run's figures have been drawn by this version."""
    return (run.directory / "figures" / "path.png").exists()  # drawn last


def draw_figures(run: Run, rank_names: Sequence[str], *, only: Sequence[str] | None = None) -> list[str]:
    """Draws the figures of a run into its folder `figures/`; one that fails is skipped with a warning.

    Args:
        run: A tested run, or an imported run, which may be untested.
        rank_names: Names of the R ranks.
        only: Names of the figures to draw, without suffix; None for all.

    Returns:
        Names of the drawn figures, without suffix.
    """
    folder = run.directory / "figures"
    data = FigureData(run, rank_names)
    drawn = []
    for name, draw in ({**TEST_FIGURES, **RANK_FIGURES} if data.tested else RANK_FIGURES).items():
        if only is not None and name not in only:
            continue
        try:
            if draw(data, folder / name) is not None:
                drawn.append(name)
        except (OSError, KeyError, TypeError, ValueError, IndexError) as error:
            log.warning("figures/%s was not drawn: %s: %s", name, type(error).__name__, error)
    return drawn
