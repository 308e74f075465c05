import math

import pytest
import torch

from ordinalclip.errors import ConfigError
from ordinalclip.losses.ce_kl import CrossEntropyKL, text_to_image_kl
from ordinalclip.model import Output


def output(logits):
    return Output(logits, torch.empty(0), torch.empty(0), torch.tensor(1.0))


def slow_kl(logits, rank, scale):
    """Rank by rank and image by image in plain Python."""
    logits, rank = logits.tolist(), rank.tolist()
    images = range(len(rank))
    total = 0.0
    for c in set(rank):
        target = [math.exp(scale * (rank[b] == c)) for b in images]
        choice = [math.exp(logits[b][c]) for b in images]
        for b in images:
            p, q = target[b] / sum(target), choice[b] / sum(choice)
            total += p * math.log(p / q)
    return total / len(set(rank))


def slow_ce(logits, rank):
    rows = zip(logits.tolist(), rank.tolist(), strict=True)
    return sum(math.log(sum(math.exp(z) for z in row)) - row[y] for row, y in rows) / len(rank)


@pytest.mark.parametrize("scale", [0.0, 1.0, 10.0])
@pytest.mark.parametrize("rank", [[0, 1, 2, 3], [2, 2, 2, 2], [0, 0, 3, 1], [3]])
def test_equals_the_slow_loop(rank, scale):
    torch.manual_seed(0)
    logits = 3 * torch.randn(len(rank), 5, dtype=torch.float64)
    rank = torch.tensor(rank)
    assert text_to_image_kl(logits, rank, scale).item() == pytest.approx(slow_kl(logits, rank, scale), abs=1e-12)
    terms = CrossEntropyKL(ce_weight=0.5, kl_weight=2.0, kl_target_scale=scale)(output(logits), rank)
    ce, kl = slow_ce(logits, rank), slow_kl(logits, rank, scale)
    assert set(terms) == {"loss", "ce", "kl"}
    assert terms["ce"].item() == pytest.approx(ce)
    assert terms["kl"].item() == pytest.approx(kl, abs=1e-6)
    assert terms["loss"].item() == pytest.approx(0.5 * ce + 2 * kl, rel=1e-6)


def slow_kl_of_shares(logits, shares, scale):
    """As `slow_kl`, a rank weighed by the largest share of it."""
    total, weights = 0.0, 0.0
    for c in range(len(shares[0])):
        weight = max(share[c] for share in shares)
        target = [math.exp(scale * share[c]) for share in shares]
        choice = [math.exp(row[c]) for row in logits]
        pairs = zip(target, choice, strict=True)
        kl = sum(p / sum(target) * math.log(p / sum(target) / (q / sum(choice))) for p, q in pairs)
        total, weights = total + weight * kl, weights + weight
    return total / weights


@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_shares_of_annotators(scale):
    torch.manual_seed(0)
    logits = 3 * torch.randn(3, 4, dtype=torch.float64)
    shares = torch.tensor([[0.0, 2 / 3, 1 / 3, 0.0], [0.0, 0.25, 0.75, 0.0], [1.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    terms = CrossEntropyKL(kl_target_scale=scale)(output(logits), shares)
    kl = slow_kl_of_shares(logits.tolist(), shares.tolist(), scale)
    ce = -(shares * logits.log_softmax(dim=1)).sum(dim=1).mean().item()
    assert terms["kl"].item() == pytest.approx(kl, abs=1e-6)
    assert terms["loss"].item() == pytest.approx(ce + kl, rel=1e-6)
    rank = torch.tensor([1, 2, 0])  # all annotators of one opinion: to the bit the loss of ranks
    agreed = torch.nn.functional.one_hot(rank, 4).double()
    assert text_to_image_kl(logits, agreed, scale) == text_to_image_kl(logits, rank, scale)
    assert torch.autograd.gradcheck(lambda z: text_to_image_kl(z, shares, scale), logits.requires_grad_())


def test_kl_is_0_for_a_batch_of_one_and_for_the_target_itself():
    assert text_to_image_kl(torch.randn(1, 4), torch.tensor([2])).item() == 0
    rank = torch.tensor([0, 2, 2])
    logits = 10 * torch.nn.functional.one_hot(rank, 4).double()
    assert text_to_image_kl(logits, rank).item() == pytest.approx(0, abs=1e-12)


def test_absent_ranks_have_no_say_even_at_extreme_logits():
    rank = torch.tensor([0, 1])
    logits = torch.randn(2, 3)
    logits[:, 2] = torch.tensor([1e4, -1e4])
    logits.requires_grad_()
    loss = text_to_image_kl(logits, rank)
    assert loss.item() == pytest.approx(text_to_image_kl(logits[:, :2], rank).item())
    loss.backward()
    assert logits.grad.isfinite().all()
    assert (logits.grad[:, 2] == 0).all()


def test_large_logits_stay_finite():
    terms = CrossEntropyKL()(output(100 * torch.randn(8, 101)), torch.arange(8))
    assert all(term.isfinite() for term in terms.values())


def test_gradients():
    torch.manual_seed(0)
    logits = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    rank = torch.tensor([0, 0, 1, 3, 3, 3])
    assert torch.autograd.gradcheck(lambda z: text_to_image_kl(z, rank), logits)


def test_kl_is_computed_in_full_precision():
    logits, rank = 50 * torch.randn(8, 5), torch.arange(8) % 5
    half = CrossEntropyKL()(output(logits.bfloat16()), rank)["kl"]
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(text_to_image_kl(logits.bfloat16().float(), rank).item())


def test_something_must_be_left_to_minimise():
    with pytest.raises(ConfigError, match="nothing is left"):
        CrossEntropyKL(ce_weight=0, kl_weight=0)
