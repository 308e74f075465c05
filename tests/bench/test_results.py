import json
from pathlib import Path
from typing import Any

from ordinalclip.bench.results import PEAK, TARGETS, Section, limits, page, target_rows, update_page
from tests import ROOT

DOCS = ROOT / "docs"


def step(ranks: int, ours: str, faster: float) -> dict[str, Any]:
    return {"model": "ViT-B-16", "ranks": ranks, "ours": ours, "times faster": faster}


def test_each_target_has_a_row_and_those_that_are_missed_a_limit() -> None:
    steps = [step(101, "float32", 1.5), step(101, "bfloat16", 2.4), step(5, "float32", 1.04)]
    times = [{"text tower": "RN50", "ranks": ranks, "ours, ms": ms} for ranks, ms in ((512, 100.0), (1024, 230.0))]
    sections = {"finetune": {"rows": steps}, "startup": {"rows": [{"what": "--help", "ours, s": 0.9}]}}
    sections["text"] = {"rows": times}
    copied = [{"what": f"1000 runs of {each} epochs copied", "seconds": each * 2.5} for each in (20, 50)]
    share: dict[str, Any] = {"what": "a run of 400 epochs", "training waits, %": 0.04, "seconds": None}
    sections["tracking"] = {"rows": [share, *copied]}
    rows = target_rows(sections)
    assert len(rows) == len(TARGETS)
    reached = {row["what"]: row["reached"] for row in rows}
    assert reached["fine-tuning step, 101 ranks, float32: times faster"] == "yes"
    assert reached["fine-tuning step, 101 ranks, bfloat16: times faster"] == "no"
    assert reached["fine-tuning step, 5 ranks, bfloat16: times faster"] == "not measured"
    assert reached["start, --help: seconds"] == "yes"
    assert reached["text tower of RN50: time of 1,024 ranks over that of 512"] == "no"
    assert reached["text tower of ViT-L-14: time of 1,024 ranks over that of 512"] == "not measured"
    assert reached["MLflow, training waits for it: % of an epoch"] == "yes"
    assert reached["MLflow, 1000 runs of 20 epochs copied: seconds"] == "yes"
    assert reached["MLflow, 1000 runs of 50 epochs copied: seconds"] == "no"
    told = limits(sections)
    assert len(told) == 4
    assert any("5 ranks, float32: times faster is 1, not 1.5: of naive's step, too" in line for line in told)
    assert not any("peak" in line or "for nothing" in line for line in told)
    steps[-1][PEAK] = 0.713
    steps.append(step(5, "float32, without text", 1.07))
    (line,) = (line for line in limits(sections) if "5 ranks, float32" in line)
    assert line.endswith(
        "with text for nothing it would be 1.1; the whole step runs at 71% of this machine's matrix peak."
    )


def test_nothing_measured_is_nothing_missed() -> None:
    assert {row["reached"] for row in target_rows({})} == {"not measured"}
    assert limits({}) == []


def test_the_page_is_what_the_numbers_beside_it_say() -> None:
    sections = json.loads((DOCS / "benchmarks.json").read_text(encoding="utf-8"))
    assert (DOCS / "benchmarks.md").read_text(encoding="utf-8") == page(sections)
    assert not [row["what"] for row in target_rows(sections) if row["reached"] == "not measured"]


def test_sections_are_replaced_and_others_stay(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    update_page(folder, "text", Section("Text", "Old.", [{"ranks": 5, "ratio": 1.0}]))
    update_page(folder, "images", Section("Images", "How.", [{"ratio": 12.345, "images": 7}]))
    update_page(folder, "text", Section("Text", "New.", [{"ranks": 5, "ratio": 1.26}, {"ranks": 101, "ratio": None}]))
    written = (folder / "benchmarks.md").read_text(encoding="utf-8")
    assert "Old." not in written
    assert (
        written.index("## Images")
        < written.index("| 12 | 7 |")
        < written.index("## Text")
        < written.index("| 5 | 1.3 |")
    )
    assert "| ranks | ratio |\n| --- | --- |\n| 5 | 1.3 |\n| 101 | — |\n" in written
    kept = json.loads((folder / "benchmarks.json").read_text(encoding="utf-8"))
    assert kept["text"]["rows"][1] == {"ranks": 101, "ratio": None}
    assert {"processor", "cores", "threads", "python", "torch", "open_clip"} == kept["text"]["machine"].keys()
