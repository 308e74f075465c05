"""A loss over two processes with batches of different size: value and gradients of one process with the whole batch."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ordinalclip.losses.ce import CrossEntropy
from ordinalclip.losses.ce_kl import CrossEntropyKL
from ordinalclip.model import Output
from ordinalclip.system.distributed import gather_batch
from tests import warm

SHARES = [slice(0, 5), slice(5, 8)]
LOSSES = {
    "ce": CrossEntropy(label_smoothing=0.1),
    "ce_kl": CrossEntropyKL(),
    "kl": CrossEntropyKL(ce_weight=0.0, kl_target_scale=2.0),
}


class Cosines(nn.Module):
    """Images and ranks through weights of their own, as in the model: both are in every process."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.image = nn.Parameter(torch.randn(6, 4, generator=generator))
        self.rank = nn.Parameter(torch.randn(5, 4, generator=generator))

    def forward(self, images):
        return 5 * nn.functional.normalize(images @ self.image, dim=1) @ nn.functional.normalize(self.rank, dim=1).T


def batch():
    generator = torch.Generator().manual_seed(2)
    return torch.randn(8, 6, generator=generator), torch.tensor([0, 1, 1, 4, 2, 1, 0, 2])


def terms_and_gradients(model, loss, share):
    images, rank = batch()
    output = Output(model(images[share]), torch.empty(0), torch.empty(0), torch.tensor(1.0))
    terms = loss(output, rank[share])
    terms["loss"].backward()
    gradients = {name.removeprefix("module."): p.grad.clone() for name, p in model.named_parameters()}
    return {name: term.item() for name, term in terms.items()}, gradients


def work(process: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=process, world_size=2)
    found = {
        name: terms_and_gradients(DistributedDataParallel(Cosines()), loss, SHARES[process])
        for name, loss in LOSSES.items()
    }
    torch.save(found, Path(folder) / f"{process}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path):
    warm.together(work, 2, tmp_path)
    for process in range(2):
        found = torch.load(tmp_path / f"{process}.pt")
        for name, loss in LOSSES.items():
            terms, gradients = terms_and_gradients(Cosines(), loss, slice(0, 8))
            assert found[name][0] == pytest.approx(terms, rel=1e-5), name
            for parameter, gradient in gradients.items():
                torch.testing.assert_close(found[name][1][parameter], gradient, rtol=1e-4, atol=1e-6)


def test_one_process_has_its_batch_already():
    logits, rank = torch.randn(4, 3, requires_grad=True), torch.tensor([0, 1, 2, 0])
    assert gather_batch(logits, rank) == (logits, rank)
