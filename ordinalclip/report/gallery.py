"""The figures of a finished run, drawn on demand from its record alone.

`Drawn` reads each part of the record once, when a figure asks for it.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import yaml

from ordinalclip.config.identity import selection_metric
from ordinalclip.metrics.ordinality import Features, Matrix
from ordinalclip.report.figures.canvas import Scale
from ordinalclip.runs.run import Run
from ordinalclip.scoring.ordinality import logged_ordinality, ordinality_of_features, rank_features_of

log = logging.getLogger("ordinalclip")


class Drawn:
    """What a run's figures are drawn from, each read once.

    Args:
        run: a run whose test is over, or that was imported and never tested.
        rank_names: one for each of the R ranks.
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
        """That the protocol declares."""
        return self.cfg["protocol"]["readout"]

    @cached_property
    def stages(self) -> dict[str, Features]:
        """Rank features [R, D] before training, where they are known, and at the best epoch."""
        return dict(rank_features_of(self.run))

    @cached_property
    def ordinality(self) -> dict[str, Any]:
        """Every score of them, computed anew: a run by an older version has fewer in its record."""
        return ordinality_of_features(self.stages)

    @cached_property
    def tested(self) -> bool:
        """Whether there are test predictions; an imported run may have none."""
        return self.run.read_json("test_stats.json") is not None

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """A row a test image."""
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
        if self.readout not in self.predictions:  # a run by an older version
            return self.predictions["expectation"].round().to_numpy(float)
        return self.predictions[self.readout].to_numpy(float)

    @cached_property
    def details(self) -> dict[str, Any]:
        """Curves and errors by rank: of the record, or of the predictions where an older version made the run."""
        found = self.run.read_json("test_details.json")
        if found is None:
            from ordinalclip.scoring.details import details
            from ordinalclip.scoring.predictions import read_predictions

            found = details(read_predictions(self.run))
        return found

    @cached_property
    def images(self) -> list[Path]:
        """Files of the test images [N]; they may be gone."""
        root = Path((self.run.read_json("provenance.json") or {}).get("root", ""))
        return [root / path for path in self.predictions["path"]]

    @cached_property
    def weights(self) -> Matrix | None:
        """Interpolation weights [R, K], where the prompt has some."""
        prompt = self.cfg["prompt"]
        if "num_base_ranks" not in prompt or "interpolation" not in prompt:
            return None
        from ordinalclip.prompts.interpolation import interpolation_weights

        return interpolation_weights(prompt["interpolation"], len(self.scale), prompt["num_base_ranks"]).numpy()


def has_figures(run: Run) -> bool:
    """Whether a run's figures have been drawn, by this version."""
    return (run.directory / "figures" / "path.png").exists()  # the last one


def draw_figures(run: Run, rank_names: Sequence[str], *, only: Sequence[str] | None = None) -> list[str]:
    """Draws into `figures/` what the record holds the data of; what cannot be drawn is skipped with a warning.

    Args:
        run: a run whose test is over, or that was imported and never tested.
        rank_names: one for each of the R ranks.
        only: names of some figures, without suffix; None: all.

    Returns:
        Names of the figures, without suffix.
    """
    folder = run.directory / "figures"
    drawn = []
    for name, draw in _figures(Drawn(run, rank_names)).items():
        if only is not None and name not in only:
            continue
        try:
            if draw(folder / name) is not None:
                drawn.append(name)
        except (OSError, KeyError, TypeError, ValueError, IndexError) as error:
            log.warning("figures/%s was not drawn: %s: %s", name, type(error).__name__, error)
    return drawn


def _figures(of: Drawn) -> Mapping[str, Callable[[Path], object]]:
    """By name, what draws a figure; it returns None where there is nothing to draw."""
    of_test: dict[str, Callable[[Drawn, Path], object]] = {
        "confusion": _confusion,
        "rank_error": _rank_error,
        "predicted": _predicted,
        "reliability": _reliability,
        "pit": _pit,
        "risk_coverage": _risk_coverage,
        "samples": _samples,
        "best_images": partial(_images, worst=False),
        "worst_images": partial(_images, worst=True),
    }
    of_ranks: dict[str, Callable[[Drawn, Path], object]] = {
        "learning": _learning,
        "similarity": partial(_similarity, softmax=False),
        "similarity_softmax": partial(_similarity, softmax=True),
        "violations": _violations,
        "interpolation": _interpolation,
        "path": _path,
    }
    chosen = (of_test | of_ranks) if of.tested else of_ranks
    return {name: partial(draw, of) for name, draw in chosen.items()}


def _similarity(of: Drawn, stem: Path, *, softmax: bool) -> object:
    from ordinalclip.report.figures.rank_features import similarity_figure

    adjusted = {stage: scores["adjusted"] for stage, scores in of.ordinality.items()}
    return similarity_figure(of.stages, of.scale, stem, adjusted=adjusted, softmax=softmax)


def _violations(of: Drawn, stem: Path) -> object:
    from ordinalclip.report.figures.rank_features import violations_figure

    return violations_figure(of.stages["best"], of.scale, stem)


def _path(of: Drawn, stem: Path) -> object:
    from ordinalclip.report.figures.rank_features import path_figure

    return path_figure(of.stages, of.scale, stem)


def _interpolation(of: Drawn, stem: Path) -> object:
    from ordinalclip.report.figures.rank_features import interpolation_figure

    return None if of.weights is None else interpolation_figure(of.weights, of.scale, stem)


def _learning(of: Drawn, stem: Path) -> object:
    from ordinalclip.report.figures.learning import learning_curves, learning_figure

    name, largest = selection_metric(of.cfg)
    curves = learning_curves(of.run.metrics(), name, largest=largest)
    if len(curves.epoch) == 0:
        return None
    before = logged_ordinality(of.ordinality["before"]) if "before" in of.ordinality else {}
    on_test = of.cfg["protocol"]["select_on"] == "test"
    return learning_figure(curves, name, stem, before=before, on_test=on_test)


def _confusion(of: Drawn, stem: Path) -> object:
    from ordinalclip.report.figures.predictions import confusion_counts, confusion_figure

    # A mean is no rank; what MLflow's accuracy is of is the most probable one.
    readout = "argmax" if of.readout == "expectation" else of.readout
    counts_RR = confusion_counts(of.rank, of.predictions[readout].to_numpy().astype(np.int64), len(of.scale))
    return confusion_figure(counts_RR, of.scale, stem, readout=readout)


def _rank_error(of: Drawn, stem: Path) -> object:
    from ordinalclip.report.figures.predictions import rank_error_figure

    constant = of.run.read_json("test_stats.json").get("test/constant_median_rank")
    return rank_error_figure(of.details["ranks"], of.scale, stem, constant=constant)


def _predicted(of: Drawn, stem: Path) -> object:
    from ordinalclip.report.figures.predictions import predicted_figure

    return predicted_figure(of.rank, of.predicted, of.scale, stem, readout=of.readout)


def _reliability(of: Drawn, stem: Path) -> object:
    from ordinalclip.report.figures.calibration import reliability_figure

    return reliability_figure(of.details, of.scale, stem)


def _pit(of: Drawn, stem: Path) -> object:
    from ordinalclip.report.figures.calibration import pit_figure

    return pit_figure(of.details["pit"], stem)


def _risk_coverage(of: Drawn, stem: Path) -> object:
    from ordinalclip.report.figures.calibration import risk_coverage_figure

    return risk_coverage_figure(of.details["risk_coverage"], stem)


def _samples(of: Drawn, stem: Path) -> object:
    from ordinalclip.report.figures.images import samples_figure

    return samples_figure(of.probs, of.rank, of.predicted, of.scale, stem)


def _images(of: Drawn, stem: Path, *, worst: bool) -> object:
    from ordinalclip.report.figures.images import best_and_worst, images_figure

    rows = best_and_worst(of.probs, of.rank, of.predicted)[worst]
    if not rows:
        return None
    return images_figure(rows, of.images, of.probs, of.rank, of.predicted, of.scale, stem)
