"""How the paper's published scores become tables: which scores, and their rows and columns."""

from collections.abc import Callable
from dataclasses import dataclass

from analysis.published import PublishedScore

MAIN = ("MORPH II", "Adience", "Image Aesthetics", "HCI")
UNITS = {"mae": "MAE", "accuracy_percent": "accuracy %", "ordinality_percent": "ordinality %"}


@dataclass(frozen=True)
class Layout:
    """How published scores become a table.

    Attributes:
        title: a line.
        has: which scores are in it.
        row: of a score.
        column: of a score.
        own_data: each column has a data set of its own, which runs must be on; otherwise any one will do.
    """

    title: str
    has: Callable[[PublishedScore], bool]
    row: Callable[[PublishedScore], str]
    column: Callable[[PublishedScore], str]
    own_data: bool = False


LAYOUTS = {
    "main": Layout(
        "the four data sets",
        lambda score: score.table in MAIN and score.setting in ("", "overall"),
        lambda score: score.method,
        lambda score: f"{score.table} {UNITS[score.metric]}",
        own_data=True,
    ),
    "aesthetics": Layout(
        "Image Aesthetics by category",
        lambda score: score.table == "Image Aesthetics",
        lambda score: score.method,
        lambda score: f"{score.setting} {UNITS[score.metric]}",
        own_data=True,
    ),
    "few_shot": Layout(
        "few-shot, MAE in ranks by training images of each rank",
        lambda score: score.table == "few-shot",
        lambda score: score.method,
        lambda score: score.setting,
    ),
    "shift": Layout(
        "distribution shift, MAE in ranks by ranks reduced - percent of their images removed",
        lambda score: score.table == "distribution shift",
        lambda score: score.method,
        lambda score: score.setting,
    ),
    "base_ranks": Layout(
        "number of base ranks and interpolation, MAE in ranks",
        lambda score: score.table == "base ranks",
        lambda score: score.setting.partition(" ")[0],
        lambda score: score.setting.partition(" ")[2],
    ),
    "tuned": Layout(
        "what is tuned and what it starts from, MAE in ranks",
        lambda score: score.table == "what is tuned",
        lambda score: score.method,
        lambda score: score.setting,
    ),
    "ordinality": Layout(
        "ordinality of the rank features",
        lambda score: score.table == "ordinality",
        lambda score: f"{score.method}, {score.setting}" if score.setting else score.method,
        lambda score: UNITS[score.metric],
    ),
}
