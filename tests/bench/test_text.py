import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from ordinalclip.backbones.openclip_text import CausalText
from ordinalclip.bench import __main__, text
from tests.backbones.makers import tiny_clip


@pytest.fixture
def tower(monkeypatch: pytest.MonkeyPatch) -> CausalText:
    import open_clip

    tower = CausalText(tiny_clip(), open_clip.SimpleTokenizer()).eval().requires_grad_(False)
    monkeypatch.setattr(text, "random_text_tower", lambda model: tower)
    return tower


def test_naive_modes_are_extrapolated_where_it_says_so(tower: CausalText) -> None:
    row, naive = text.measure_ranks(tower, 5, rounds=1)
    larger, largest = text.measure_more(tower, (20, 40), naive, rounds=1)
    assert naive.num_ranks == 5
    assert [each["naive"] for each in (row, larger, largest)] == ["measured", "extrapolated", "extrapolated"]
    assert [each["ranks"] for each in (row, larger, largest)] == [5, 20, 40]
    assert larger["features differ by"] is None
    for each in (larger, largest):
        naive_ms = float(each["ours, ms"] or 0) * float(each["times faster than naive"] or 0)
        assert naive_ms == pytest.approx(naive.whole * 1e3 * int(each["ranks"] or 0) / 5)
    for column in ("features differ by", "gradients differ by"):
        assert float(row[column] or 0) < 1e-5
    assert float(row["times less memory"] or 0) > 4


def test_all_modes_are_one_function(tower: CausalText) -> None:
    torch.manual_seed(0)
    options: dict[str, Any] = {"rank_names": ["1", "2", "3", "4"], "num_context_tokens": 3}
    prompt = text.RankPrompt(text=tower, embed_dim=12, **options)
    whole = text.whole_sentences(tower, prompt)
    torch.testing.assert_close(text.rank_by_rank(tower, prompt), whole)
    torch.testing.assert_close(text.shared_prefix(tower, prompt), whole)


def test_the_command_writes_the_page(tower: CausalText, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", "text", "--quick", "--output", str(tmp_path)])
    __main__.main()
    page = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    assert "| ViT-B-16 | 8 |" in page
    assert (tmp_path / "benchmarks.json").exists()
