"""How similar the features of every two ranks are, before and after training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ordinalclip.figures.canvas import COLUMN, EVEN, PAGE, canvas, colour_bar, save, styled
from ordinalclip.figures.scale import Scale
from ordinalclip.metrics.similarity import Features, Matrix, row_softmax, similarity

TITLES = {"before": "before training", "best": "best epoch"}


def similarity_maps(stages: Mapping[str, Features], *, softmax: bool = False) -> dict[str, Matrix]:
    """Cosine similarities [R, R] of rank features [R, D] by the largest, or the softmax of each row; by stage."""
    maps = {stage: similarity(features_RD) for stage, features_RD in stages.items()}
    return {stage: row_softmax(one) for stage, one in maps.items()} if softmax else maps


@styled
def similarity_figure(
    stages: Mapping[str, Features],
    scale: Scale,
    path_stem: Path,
    *,
    adjusted: Mapping[str, float],
    softmax: bool = False,
) -> tuple[Path, Path]:
    """Draws a map for each stage, on one colour scale: ordered ranks show a bright diagonal that fades to the corners.

    Args:
        stages: rank features [R, D] by stage, `before` and `best`, or only the latter.
        scale: the R ranks.
        path_stem: where to, without a suffix.
        adjusted: adjusted ordinality by stage, for the titles; may lack a stage, or be nan.
        softmax: show the softmax of each row in place of similarities.

    Returns:
        The PNG's and the SVG's path.
    """
    maps = similarity_maps(stages, softmax=softmax)
    both = len(maps) > 1
    figure, panels = canvas(PAGE if both else COLUMN, 3.4 if both else 3.1, columns=len(maps))
    low, high = min(one.min() for one in maps.values()), max(one.max() for one in maps.values())
    inches = 2.4 if both else 2.2
    for panel, (stage, one) in zip(panels, maps.items(), strict=True):
        image = panel.imshow(one, cmap=EVEN, vmin=low, vmax=high, interpolation="nearest")
        score = adjusted.get(stage, float("nan"))
        told = "" if score != score else f"\nadjusted ordinality {round(score, 3) + 0.0:.3f}"
        panel.set_title(f"{TITLES[stage]}{told}")
        scale.along_x(panel, "rank", inches=inches)
    scale.along_y(panels[0], "rank")
    for panel in panels[1:]:
        panel.set_yticks(panels[0].get_yticks(), [])
    label = "softmax of similarities to the row's rank" if softmax else "cosine similarity / its largest"
    colour_bar(figure, image, panels[-1], label)
    return save(figure, path_stem)
