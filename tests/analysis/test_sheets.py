from analysis.sheets import Cell, Sheet, in_latex, to_csv, to_latex, to_markdown

SHEET = Sheet(
    name="one",
    title="MAE_1 & more",
    headings=["method", "MAE", "interval"],
    rows=[
        [Cell("a|b", bold=True), Cell("0.5 ± 0.1", {"": 0.5, "std": 0.125}), Cell("–", {"low": None, "high": None})],
        [Cell("c"), Cell("–"), Cell("1 … 2", {"low": 1.0, "high": 2.0})],
    ],
    notes=["50 % are new"],
    numeric=2,
)


def test_markdown() -> None:
    assert to_markdown(SHEET).splitlines() == [
        "**MAE_1 & more**",
        "",
        "| method   |       MAE | interval |",
        "| -------- | --------: | -------: |",
        "| **a\\|b** | 0.5 ± 0.1 |        – |",
        "| c        |         – |    1 … 2 |",
        "",
        "- 50 % are new",
    ]


def test_csv_has_the_numbers_in_full() -> None:
    assert to_csv(SHEET).splitlines() == [
        "method,MAE,MAE std,interval low,interval high,notes",
        "a|b,0.5,0.125,,,50 % are new",
        "c,,,1.0,2.0,50 % are new",
    ]


def test_latex() -> None:
    text = to_latex(SHEET)
    assert r"\caption{MAE\_1 \& more}" in text
    assert r"\begin{tabular}{lrr}" in text
    assert r"    \textbf{a|b} & 0.5 $\pm$ 0.1 & -- \\" in text
    assert r"\footnotesize 50 \% are new" in text
    assert text.count(r"\begin") == text.count(r"\end") == 2


def test_signs_of_latex() -> None:
    assert in_latex(r"a_b{c}~^\ < 1") == r"a\_b\{c\}\textasciitilde{}\textasciicircum{}\textbackslash  $<$ 1"
