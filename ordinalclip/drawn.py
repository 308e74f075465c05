"""What a run's figures are drawn from: its record, each part of it read once, when a figure asks for it."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import yaml

from ordinalclip.figures.scale import Scale
from ordinalclip.metrics.similarity import Features, Matrix
from ordinalclip.ordinality_record import ordinality_of_features, rank_features_of
from ordinalclip.runs import Run


class Drawn:
    """What a run's figures are drawn from, each read once.

    Args:
        run: a run whose test is over, or that was imported and never tested.
        rank_names: one for each of the R ranks.
    """

    def __init__(self, run: Run, rank_names: Sequence[str]) -> None:
        self.run = run
        self.scale = Scale(rank_names, (run.read_json("ranks.json") or {}).get("unit", ""))

    @cached_property
    def cfg(self) -> dict[str, Any]:
        """The run's configuration."""
        return yaml.safe_load((self.run.directory / "config.yaml").read_text(encoding="utf-8"))

    @cached_property
    def readout(self) -> str:
        """That the protocol declares."""
        return self.cfg["protocol"]["readout"]

    @cached_property
    def stages(self) -> dict[str, Features]:
        """Rank features [R, D] before training, where they are known, and at the best epoch."""
        return dict(rank_features_of(self.run))

    @cached_property
    def ordinality(self) -> dict[str, Any]:
        """Every score of them, computed anew: a run by an older version has fewer in its record."""
        return ordinality_of_features(self.stages)

    @cached_property
    def tested(self) -> bool:
        """Whether there are test predictions; an imported run may have none."""
        return self.run.read_json("test_stats.json") is not None

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """A row a test image."""
        return pd.read_parquet(self.run.directory / "predictions.parquet")

    @cached_property
    def probs(self) -> Matrix:
        """Probabilities of the test images [N, R]."""
        return np.stack(self.predictions["probs"].to_list())

    @cached_property
    def rank(self) -> npt.NDArray[np.int64]:
        """True ranks of the test images [N]."""
        return self.predictions["rank"].to_numpy()

    @cached_property
    def predicted(self) -> Matrix:
        """The declared readout [N], in ranks."""
        if self.readout not in self.predictions:  # a run by an older version
            return self.predictions["expectation"].round().to_numpy(float)
        return self.predictions[self.readout].to_numpy(float)

    @cached_property
    def details(self) -> dict[str, Any]:
        """Curves and errors by rank: of the record, or of the predictions where an older version made the run."""
        found = self.run.read_json("test_details.json")
        if found is None:
            from ordinalclip.metrics.details import details
            from ordinalclip.predictions import read_predictions

            found = details(read_predictions(self.run))
        return found

    @cached_property
    def images(self) -> list[Path]:
        """Files of the test images [N]; they may be gone."""
        root = Path((self.run.read_json("provenance.json") or {}).get("root", ""))
        return [root / path for path in self.predictions["path"]]

    @cached_property
    def weights(self) -> Matrix | None:
        """Interpolation weights [R, K], where the prompt has some."""
        prompt = self.cfg["prompt"]
        if "num_base_ranks" not in prompt or "interpolation" not in prompt:
            return None
        from ordinalclip.prompts.interpolation import interpolation_weights

        return interpolation_weights(prompt["interpolation"], len(self.scale), prompt["num_base_ranks"]).numpy()
