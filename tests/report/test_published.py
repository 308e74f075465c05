from collections import Counter
from pathlib import Path

import pytest

from ordinalclip.report.published import PublishedScore, read_published


@pytest.fixture(scope="module")
def scores() -> list[PublishedScore]:
    return read_published()


def value(
    scores: list[PublishedScore], table: str, setting: str, method: str, metric: str
) -> tuple[float, float | None]:
    (found,) = (
        score
        for score in scores
        if (score.table, score.setting, score.method, score.metric) == (table, setting, method, metric)
    )
    return found.value, found.std


def test_every_table_is_there_in_full(scores: list[PublishedScore]) -> None:
    assert Counter(score.table for score in scores) == {
        "MORPH II": 4 + 4,
        "Adience": 4 * 2,
        "Image Aesthetics": 4 * 2 + 4 * 2,
        "HCI": 4 * 2,
        "few-shot": 3 * 7,
        "distribution shift": 3 * 8,
        "base ranks": 2 * 8,
        "what is tuned": 2 * 6,
        "ordinality": 5,
    }
    assert {score.metric for score in scores} == {"mae", "accuracy_percent", "ordinality_percent"}
    assert all(score.source for score in scores)


@pytest.mark.parametrize(
    ("cell", "printed"),
    [
        (("MORPH II", "", "zero-shot CLIP", "mae"), (14.45, None)),
        (("MORPH II", "", "OrdinalCLIP", "mae"), (2.32, None)),
        (("MORPH II", "", "AVDL", "mae"), (2.37, None)),
        (("Adience", "", "CoOp", "accuracy_percent"), (60.6, 5.5)),
        (("Adience", "", "OrdinalCLIP", "mae"), (0.47, 0.06)),
        (("Image Aesthetics", "overall", "CNN", "mae"), (0.365, None)),
        (("Image Aesthetics", "animals", "OrdinalCLIP", "accuracy_percent"), (72.85, None)),
        (("HCI", "", "zero-shot CLIP", "mae"), (1.48, 0.03)),
        (("few-shot", "1 shot", "CNN", "mae"), (8.04, None)),
        (("few-shot", "8 shots", "CoOp", "mae"), (3.57, None)),
        (("few-shot", "64 shots", "OrdinalCLIP", "mae"), (2.57, None)),
        (("distribution shift", "30-90", "CNN", "mae"), (4.06, None)),
        (("distribution shift", "10-80", "OrdinalCLIP", "mae"), (2.61, None)),
        (("base ranks", "inv_prop K=7", "OrdinalCLIP", "mae"), (2.35, None)),
        (("base ranks", "linear K=2", "OrdinalCLIP", "mae"), (2.38, None)),
        (("what is tuned", "rank", "CoOp", "mae"), (2.58, None)),
        (("what is tuned", "rank+ctx", "OrdinalCLIP", "mae"), (2.36, None)),
        (("ordinality", "", "OrdinalCLIP", "ordinality_percent"), (65.94, None)),
    ],
)
def test_values_as_printed(
    scores: list[PublishedScore], cell: tuple[str, str, str, str], printed: tuple[float, float | None]
) -> None:
    assert value(scores, *cell) == printed


def test_overall_aesthetics_are_the_means_of_the_categories(scores: list[PublishedScore]) -> None:
    for metric, digits in (("accuracy_percent", 2), ("mae", 3)):
        parts = [value(scores, "Image Aesthetics", part, "OrdinalCLIP", metric)[0] for part in _PARTS]
        overall, _ = value(scores, "Image Aesthetics", "overall", "OrdinalCLIP", metric)
        assert round(sum(parts) / 4, digits) == overall


_PARTS = ("nature", "animals", "urban", "people")


def test_what_is_built_here_has_a_command(scores: list[PublishedScore]) -> None:
    for score in scores:
        own = score.method in ("CNN", "zero-shot CLIP", "CoOp", "OrdinalCLIP")
        assert score.command.startswith("experiment=") == own
        assert ("prompt=linear trainable.head=null" in score.command) == (score.method == "CNN")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("paper,table", "table,paper"), "has the columns"),
        (("2.63", "2,63"), "line 2: does not have 10 cells"),
        (("2.63", "low"), "line 2: could not convert"),
        (("zero-shot CLIP,mae,14.45", "CNN,mae,14.45"), "line 3: duplicate score"),
    ],
)
def test_a_file_that_is_wrong(tmp_path: Path, change: tuple[str, str], told: str) -> None:
    text = Path("analysis/published.csv").read_text(encoding="utf-8")
    assert change[0] in text
    (tmp_path / "p.csv").write_text(text.replace(*change, 1), encoding="utf-8")
    with pytest.raises(ValueError, match=told):
        read_published(tmp_path / "p.csv")
