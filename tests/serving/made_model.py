"""A model for the page that needs no training: what it answers depends on the image's mean brightness."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ordinalclip.images.preprocessing import Preprocessing
from ordinalclip.inference.model import RankModel
from ordinalclip.inference.predictions import Predictions, Ranks


class MadeModel(RankModel):
    """With intervals of the rank and its two neighbours, said to cover 90 %."""

    def read(self, logits_NR: Tensor, level: float | None = None) -> Predictions:
        predictions = super().read(logits_NR)
        last = len(self.ranks.names) - 1
        lower, upper = np.maximum(predictions.rank - 1, 0), np.minimum(predictions.rank + 1, last)
        return replace(predictions, lower_rank=lower, upper_rank=upper, coverage=0.9)


def made_model(
    num_ranks: int = 101, *, names: tuple[str, ...] = (), unit: str = "reading", cls: type[RankModel] = MadeModel
) -> RankModel:
    scale = tuple(float(rank) for rank in range(num_ranks))
    facts: dict[str, Any] = {"run": "gauge-tiny-rank-s0-0123456789", "dataset": "gauge", "prompt": "rank"}

    def logits(images: Tensor) -> Tensor:
        place = images.mean(dim=(1, 2, 3)) * (num_ranks - 1)
        return -((torch.arange(num_ranks) - place[:, None]) ** 2) / (0.02 * num_ranks + 0.5)

    ranks = Ranks(names or tuple(str(rank) for rank in range(num_ranks)), scale, unit, "expectation")
    return cls(logits, Preprocessing(8, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)), ranks, facts=facts)
