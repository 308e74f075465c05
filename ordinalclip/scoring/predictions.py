"""Predictions of a split with their labels, from which all scores are computed. Imports no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import yaml

from ordinalclip.datasets.manifest import Manifest, attribute_columns
from ordinalclip.datasets.splits import linked_units
from ordinalclip.errors import DataError
from ordinalclip.runs.run import Run

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Predictions:
    """Probabilities and labels of N images over R ranks.

    Attributes:
        probs: probabilities [N, R], float32.
        rank: true ranks [N].
        rank_names: R names.
        rank_values: the value of each rank [R], in `unit`.
        unit: unit of the values.
        readout: the readout of the protocol.
        value: labels [N] in `unit`; they may lie between the values of two ranks.
        deviation: standard deviation of the annotators' labels [N], nan if unknown; None if no image has one.
        family: [N], equal numbers for images of one subject or group, or else of one block of the protocol; None if
            none of these is known.
        attributes: name → strings or numbers of the images [N].
    """

    probs: Floats
    rank: npt.NDArray[np.int64]
    rank_names: Sequence[str]
    rank_values: Floats
    unit: str
    readout: str = "expectation"
    value: Floats | None = None
    deviation: Floats | None = None
    family: npt.NDArray[np.int64] | None = None
    attributes: Mapping[str, pd.Series] = field(default_factory=dict)

    @property
    def num_ranks(self) -> int:
        """R."""
        return len(self.rank_values)

    def __len__(self) -> int:
        return len(self.rank)

    @property
    def labels(self) -> Floats:
        """The labels [N] in `unit`; values of the true ranks if the data set has no labels in the unit."""
        return self.rank_values[self.rank] if self.value is None else self.value


def from_tables(
    probs: Floats,
    rows: pd.DataFrame,
    ranks: Mapping[str, Any],
    readout: str = "expectation",
    block: npt.NDArray[np.int64] | None = None,
) -> Predictions:
    """Predictions of images from their rows of a manifest.

    Args:
        probs: probabilities [N, R].
        rows: rows of the manifest [N], in the order of `probs`.
        ranks: content of `ranks.json`: names, values and unit.
        readout: the readout of the protocol.
        block: [N], equal numbers for images that the protocol keeps in one split; used as families if no subject or
            group is known.
    """
    rows = rows.reset_index(drop=True)
    known = any(column in rows and rows[column].notna().any() for column in ("subject", "group"))
    deviation = rows["deviation"].to_numpy(float) if "deviation" in rows else np.full(len(rows), np.nan)
    return Predictions(
        probs=probs,
        rank=rows["rank"].to_numpy(np.int64),
        rank_names=list(ranks["names"]),
        rank_values=np.asarray(ranks["values"], dtype=float),
        unit=str(ranks["unit"]),
        readout=readout,
        value=rows["value"].to_numpy(float) if "value" in rows else None,
        deviation=None if np.isnan(deviation).all() else deviation,
        family=linked_units(rows) if known else block,
        attributes={name: rows[name] for name in attribute_columns(rows.columns)},
    )


def from_manifest(table: pd.DataFrame, manifest: Manifest, protocol: Mapping[str, Any]) -> Predictions:
    """Predictions from a table with one row per image of a manifest.

    Args:
        table: has the columns `path` and `probs`; may be empty.
        manifest: has the paths of the table.
        protocol: the group `protocol` of the configuration: readout, size of blocks.
    """
    probs = np.stack(table["probs"].to_list()) if len(table) else np.zeros((0, manifest.num_ranks))
    return _of_rows(probs, table["path"], manifest.table, manifest.ranks(), protocol)


def _of_rows(
    probs: Floats, paths: pd.Series, images: pd.DataFrame, ranks: Mapping[str, Any], protocol: Mapping[str, Any]
) -> Predictions:
    place = pd.Index(images["path"]).get_indexer(pd.Index(paths))
    size = protocol["split"].get("block_size") if "split" in protocol else None
    block = None if size is None else place // size
    return from_tables(probs, images.iloc[place], ranks, protocol["readout"], block)


def predictions_file(split: str) -> str:
    """Name of the table of a split's predictions in a run's record."""
    return "predictions.parquet" if split == "test" else f"predictions_{split}.parquet"


def read_predictions(run: Run, split: str = "test") -> Predictions:
    """Reads the predictions of a split from the record of a run.

    Args:
        run: its record has the table of the split.
        split: "test", "val" or "calibration".

    Raises:
        DataError: the record lacks the table, the ranks or the configuration, or they do not belong together.
    """
    file = run.directory / predictions_file(split)
    if not file.is_file():
        there = [name for name in ("test", "val", "calibration") if (run.directory / predictions_file(name)).is_file()]
        raise DataError(f"{file} is not there; the record has predictions of: {', '.join(there) or 'no split'}")
    config, ranks = run.directory / "config.yaml", run.read_json("ranks.json")
    if ranks is None or not config.is_file():
        raise DataError(f"{run.directory}: its record has no {'ranks.json' if ranks is None else 'config.yaml'}")
    protocol = yaml.safe_load(config.read_text(encoding="utf-8"))["protocol"]
    table = pd.read_parquet(file, columns=["path", "rank", "probs"])
    probs, manifest = np.stack(table["probs"].to_list()), run.directory / "manifest.parquet"
    if not manifest.is_file():  # of imported runs: subjects and attributes are not known
        return from_tables(probs, table[["path", "rank"]], ranks, protocol["readout"])
    images = pd.read_parquet(manifest)
    missing = ~table["path"].isin(images["path"])
    if missing.any():
        first = table["path"][missing].iloc[0]
        raise DataError(f"{file}: {missing.sum()} images are not in manifest.parquet, such as {first}")
    return _of_rows(probs, table["path"], images, ranks, protocol)
