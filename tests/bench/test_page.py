import json
from pathlib import Path

from ordinalclip.bench.results import Section, update_page


def test_sections_are_replaced_and_others_stay(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    update_page(folder, "text", Section("Text", "Old.", [{"ranks": 5, "ratio": 1.0}]))
    update_page(folder, "images", Section("Images", "How.", [{"ratio": 12.345, "images": 7}]))
    update_page(folder, "text", Section("Text", "New.", [{"ranks": 5, "ratio": 1.26}, {"ranks": 101, "ratio": None}]))
    page = (folder / "benchmarks.md").read_text(encoding="utf-8")
    assert "Old." not in page
    assert page.index("## Images") < page.index("| 12 | 7 |") < page.index("## Text") < page.index("| 5 | 1.3 |")
    assert "| ranks | ratio |\n| --- | --- |\n| 5 | 1.3 |\n| 101 | — |\n" in page
    kept = json.loads((folder / "benchmarks.json").read_text(encoding="utf-8"))
    assert kept["text"]["rows"][1] == {"ranks": 101, "ratio": None}
    assert {"processor", "cores", "threads", "python", "torch", "open_clip"} == kept["text"]["machine"].keys()
