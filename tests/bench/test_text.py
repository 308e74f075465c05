import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from ordinalclip.backbones.towers.openclip_causal import CausalText
from ordinalclip.backbones.towers.openclip_models import LeanQuickGELU
from ordinalclip.bench import __main__, text
from tests.backbones.makers import tiny_clip


@pytest.fixture
def tower(monkeypatch: pytest.MonkeyPatch) -> CausalText:
    import open_clip

    tower = CausalText(tiny_clip(), open_clip.SimpleTokenizer()).eval().requires_grad_(False)
    monkeypatch.setattr(text, "random_text_tower", lambda model: tower)
    return tower


@pytest.mark.slow
def test_naive_modes_are_extrapolated_where_it_says_so(tower: CausalText) -> None:
    rows = text.measure_ranks(tower, 5, rounds=1, more=(20, 40))
    assert [row["naive"] for row in rows] == ["measured", "extrapolated", "extrapolated"]
    assert [row["ranks"] for row in rows] == [5, 20, 40]
    naive_ms = [float(row["ours, ms"] or 0) * float(row["times faster than naive"] or 0) for row in rows]
    assert naive_ms == pytest.approx([naive_ms[0], 4 * naive_ms[0], 8 * naive_ms[0]])
    for column in ("features differ by", "gradients differ by"):
        assert 0 < float(rows[0][column] or 0) < 1e-5
        assert rows[1][column] is None
    assert float(rows[0]["times less memory"] or 0) > 4
    # Naive runs 77 tokens a rank, ours 11 before the ranks and 3 a rank, few of them in the last of two layers, and
    # attention of 77 to 77 is a good part of a layer of width 16.
    for row, ranks in zip(rows, (5, 20, 40), strict=True):
        assert 1 < float(row["times fewer operations"] or 0) / (77 * ranks / (11 + 3 * ranks)) < 4


@pytest.mark.parametrize("features", [text.whole_sentences, text.rank_by_rank])
def test_chunks_of_a_naive_mode_are_one_pass(tower: CausalText, features: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # In float64: chunks add gradients (up to 29) in another order, which float32 rounds by 3e-5.
    prompt = text.rank_prompt(tower.double(), 5).double()
    expected = text.forward_backward(tower, prompt, features)()
    monkeypatch.setattr(text, "CHUNK", 2)
    for found, value in zip(text.naive_pass(tower, prompt, features)(), expected, strict=True):
        torch.testing.assert_close(found, value, rtol=1e-12, atol=1e-10)


def test_all_modes_are_one_function(tower: CausalText) -> None:
    torch.manual_seed(0)
    options: dict[str, Any] = {"rank_names": ["1", "2", "3", "4"], "num_context_tokens": 3}
    prompt = text.RankPrompt(text=tower, embed_dim=12, **options)
    whole = text.whole_sentences(tower, prompt)
    torch.testing.assert_close(text.rank_by_rank(tower, prompt), whole)
    torch.testing.assert_close(text.shared_prefix(tower, prompt), whole)


def test_naive_modes_compute_quick_gelu_as_open_clip_does_and_ours_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    import open_clip
    from open_clip.transformer import QuickGELU

    small = {"embed_dim": 12, "text_cfg": {"width": 16, "heads": 2, "layers": 2}}
    monkeypatch.setattr(open_clip, "get_model_config", lambda model: small)
    tower = text.random_text_tower("ViT-B-16")
    assert not any(type(module) is QuickGELU for module in tower.modules())
    prompt = text.rank_prompt(tower, 3)
    met: dict[type, int] = {QuickGELU: 0, LeanQuickGELU: 0}

    def counting(kind: type, forward: Any) -> Any:
        def run(self: Any, x: torch.Tensor) -> torch.Tensor:
            met[kind] += 1
            return forward(self, x)

        return run

    for kind in (QuickGELU, LeanQuickGELU):
        monkeypatch.setattr(kind, "forward", counting(kind, kind.forward))
    for mode, theirs, ours in ((text.whole_sentences, 2, 0), (text.rank_by_rank, 6, 0), (text.shared_prefix, 0, 2)):
        met.update(dict.fromkeys(met, 0))
        mode(tower, prompt)
        assert met == {QuickGELU: theirs, LeanQuickGELU: ours}, mode


@pytest.mark.slow
def test_the_command_writes_the_page(tower: CausalText, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", "text", "--quick", "--output", str(tmp_path)])
    __main__.main()
    page = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    assert "| ViT-B-16 | 8 |" in page
    assert (tmp_path / "benchmarks.json").exists()
