"""What training takes of several annotators' labels: their median, one of them at random, or all as a distribution."""

import numpy as np
import torch
from torch import Tensor

from ordinalclip.datasets.manifest import Manifest


class LabelDraw:
    """Targets of training batches.

    Args:
        manifest: with the column `labels`.
        how: "random" or "distribution".
        seed: one of a row's labels is drawn from (seed, epoch, row), so that a resume changes nothing.
    """

    def __init__(self, manifest: Manifest, how: str, seed: int) -> None:
        training = manifest.table["split"] == "train"  # of no other row is a label looked at
        labels = manifest.table["labels"].where(training, "0")
        counts = (labels.str.count(" ") + 1).to_numpy(dtype=np.int64, copy=True)
        self.counts = torch.from_numpy(counts)
        padded = np.zeros(
            (len(labels), counts.max()), dtype=np.int16
        )  # small: some sets have hundreds of votes an image
        for row, words in enumerate(labels):
            padded[row, : counts[row]] = np.array(words.split(" "), dtype=np.int16)
        self.labels = torch.from_numpy(padded)  # [N, A]
        self.num_ranks, self.how, self.seed = manifest.num_ranks, how, seed
        self._epoch, self._drawn = -1, torch.empty(0, dtype=torch.long)

    def __call__(self, row: Tensor, epoch: int) -> Tensor:
        """Ranks [B] of some rows in an epoch, or with "distribution" the share of annotators that gave each [B, R]."""
        if self.how == "random":
            return self._ranks(epoch)[row.cpu()].to(row.device)
        labels_BA, counts_B = self.labels[row.cpu()].long(), self.counts[row.cpu()]
        given_BA = torch.arange(labels_BA.shape[1]) < counts_B[:, None]
        shares_BR = torch.zeros(len(row), self.num_ranks).scatter_add_(1, labels_BA, given_BA.float())
        return (shares_BR / counts_B[:, None]).to(row.device)

    def _ranks(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            # A stream of its own: order and views are drawn from (seed, epoch), too.
            stream = np.random.default_rng(np.random.SeedSequence([self.seed, epoch], spawn_key=(2,)))
            place = torch.from_numpy(stream.random(len(self.counts))) * self.counts
            self._epoch, self._drawn = epoch, self.labels.gather(1, place.long()[:, None])[:, 0].long()
        return self._drawn
