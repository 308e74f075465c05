"""The figures of a finished run, drawn from its record alone, at any time, when somebody looks."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from ordinalclip.derived import selection
from ordinalclip.drawn import Drawn
from ordinalclip.ordinality_record import logged_ordinality
from ordinalclip.runs import Run

log = logging.getLogger("ordinalclip")


def has_figures(run: Run) -> bool:
    """Whether a run's figures have been drawn, by this version."""
    return (run.directory / "figures" / "path.png").exists()  # the last one


def draw_figures(run: Run, rank_names: Sequence[str], *, only: Sequence[str] | None = None) -> list[str]:
    """Draws into `figures/` what the record holds the data of; what cannot be drawn is told and left out.

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
    from ordinalclip.figures.similarity import similarity_figure

    adjusted = {stage: scores["adjusted"] for stage, scores in of.ordinality.items()}
    return similarity_figure(of.stages, of.scale, stem, adjusted=adjusted, softmax=softmax)


def _violations(of: Drawn, stem: Path) -> object:
    from ordinalclip.figures.violations import violations_figure

    return violations_figure(of.stages["best"], of.scale, stem)


def _path(of: Drawn, stem: Path) -> object:
    from ordinalclip.figures.path import path_figure

    return path_figure(of.stages, of.scale, stem)


def _interpolation(of: Drawn, stem: Path) -> object:
    from ordinalclip.figures.interpolation import interpolation_figure

    return None if of.weights is None else interpolation_figure(of.weights, of.scale, stem)


def _learning(of: Drawn, stem: Path) -> object:
    from ordinalclip.figures.learning import learning_curves, learning_figure

    name, largest = selection(of.cfg)
    curves = learning_curves(of.run.metrics(), name, largest=largest)
    if len(curves.epoch) == 0:
        return None
    before = logged_ordinality(of.ordinality["before"]) if "before" in of.ordinality else {}
    on_test = of.cfg["protocol"]["select_on"] == "test"
    return learning_figure(curves, name, stem, before=before, on_test=on_test)


def _confusion(of: Drawn, stem: Path) -> object:
    from ordinalclip.figures.confusion import confusion_counts, confusion_figure

    # A mean is no rank; what MLflow's accuracy is of is the most probable one.
    readout = "argmax" if of.readout == "expectation" else of.readout
    counts_RR = confusion_counts(of.rank, of.predictions[readout].to_numpy().astype(np.int64), len(of.scale))
    return confusion_figure(counts_RR, of.scale, stem, readout=readout)


def _rank_error(of: Drawn, stem: Path) -> object:
    from ordinalclip.figures.rank_error import rank_error_figure

    constant = of.run.read_json("test_stats.json").get("test/constant_median_rank")
    return rank_error_figure(of.details["ranks"], of.scale, stem, constant=constant)


def _predicted(of: Drawn, stem: Path) -> object:
    from ordinalclip.figures.predicted import predicted_figure

    return predicted_figure(of.rank, of.predicted, of.scale, stem, readout=of.readout)


def _reliability(of: Drawn, stem: Path) -> object:
    from ordinalclip.figures.reliability import reliability_figure

    return reliability_figure(of.details, of.scale, stem)


def _pit(of: Drawn, stem: Path) -> object:
    from ordinalclip.figures.pit import pit_figure

    return pit_figure(of.details["pit"], stem)


def _risk_coverage(of: Drawn, stem: Path) -> object:
    from ordinalclip.figures.risk_coverage import risk_coverage_figure

    return risk_coverage_figure(of.details["risk_coverage"], stem)


def _samples(of: Drawn, stem: Path) -> object:
    from ordinalclip.figures.samples import samples_figure

    return samples_figure(of.probs, of.rank, of.predicted, of.scale, stem)


def _images(of: Drawn, stem: Path, *, worst: bool) -> object:
    from ordinalclip.figures.images import best_and_worst, images_figure

    rows = best_and_worst(of.probs, of.rank, of.predicted)[worst]
    if not rows:
        return None
    return images_figure(rows, of.images, of.probs, of.rank, of.predicted, of.scale, stem)
