import math

import numpy as np
import pandas as pd
import pytest
import torch

from ordinalclip.metrics.per_rank import SubgroupGap, gap
from ordinalclip.metrics.readout import read_out
from ordinalclip.scoring.predictions import Predictions
from ordinalclip.scoring.subgroups import subgroups
from tests.metrics.test_collection import VALUES, sample


@pytest.mark.parametrize("readout", ["expectation", "argmax"])
def test_equals_pandas_and_the_named_groups(readout: str) -> None:
    probs, rank = sample(200)
    group = torch.tensor([0] * 90 + [1] * 75 + [3] * 35)[
        torch.randperm(200, generator=torch.Generator().manual_seed(0))
    ]
    error = (read_out(probs, readout) - rank).abs().numpy()
    means = pd.Series(error).groupby(group.numpy()).mean()
    metric = SubgroupGap(5, 4, readout)
    for rows in (slice(0, 130), slice(130, 200)):
        metric.update(probs[rows], rank[rows], group[rows])
    assert float(metric.compute()) == pytest.approx(means.max() - means.min())
    site = pd.Series(group.numpy()).map({0: "a", 1: "b", 3: "c"})
    named = Predictions(
        probs.numpy(), rank.numpy(), list("abcde"), np.array(VALUES), "", readout, attributes={"site": site}
    )
    assert float(metric.compute()) == pytest.approx(subgroups(error, named)["by"]["site"]["gap"])


def test_small_groups_do_not_count() -> None:
    means, counts = torch.tensor([1.0, 2.0, 9.0, float("nan")]), torch.tensor([30, 31, 29, 0])
    assert float(gap(means, counts)) == 1
    assert float(gap(means, counts, min_count=1)) == 8
    assert math.isnan(gap(means, counts, min_count=31))
    with pytest.raises(ValueError, match="for 4 ranks"):
        SubgroupGap(4, 2).update(torch.zeros(3, 5), torch.zeros(3).long(), torch.zeros(3).long())
