"""The data of each split for training and evaluation: features or images, from caches where possible.

Test labels are sealed: while a run is fitted they are removed from the manifest, reading them raises `TestLabelsRead`.
`LabelDraw` chooses the training labels of images with several annotators: their median, a random one, or all of them.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ordinalclip.backbones.backbone import Backbone
from ordinalclip.config.identity import augments, uses_features
from ordinalclip.datasets.manifest import CLEAN_RANK, OPTIONAL, Manifest
from ordinalclip.features.extraction import Extraction, load_features, load_views
from ordinalclip.features.store import StoredFeatures
from ordinalclip.images.cache import ImageSource, load_images
from ordinalclip.images.decoding import num_threads
from ordinalclip.images.preprocessing import Geometry
from ordinalclip.preparation.prepare import Job
from ordinalclip.training.batches import FeatureRows, ImageRows, ViewRows

NO_RANK = -1  # rank of images whose label is sealed; no loss or metric accepts it


class TestLabelsRead(RuntimeError):
    """Test labels or test images were read before the run was fitted, which is a defect of the program."""

    __test__ = False  # pytest collects classes of such names


class SealedTestLabels:
    """Withholds the labels of the test split while a run is fitted.

    Images can be hashed and cached meanwhile, which needs no label.

    Args:
        manifest: the data set with its split.
        closed: False for evaluations, and if the protocol selects on test.
    """

    def __init__(self, manifest: Manifest, *, closed: bool) -> None:
        self._whole = manifest
        self._test = (manifest.table["split"] == "test").to_numpy()
        self.closed = closed
        self.manifest = _without_labels(manifest, self._test) if closed else manifest

    def open(self) -> Manifest:
        """Breaks the seal for the final evaluation; returns the manifest with all labels."""
        self.closed, self.manifest = False, self._whole
        return self._whole

    def ranks(self, rows: np.ndarray) -> np.ndarray:
        """True ranks [N] of rows [N] of the manifest.

        Raises:
            TestLabelsRead: a row is in the test split, and the seal is closed.
        """
        if self.closed and self._test[rows].any():
            raise TestLabelsRead(
                f"{int(self._test[rows].sum())} test images were asked for while the run is being fitted; "
                "only protocol.select_on=test may do so, which every report of its scores states"
            )
        return self._whole.table["rank"].to_numpy()[rows]


def _without_labels(manifest: Manifest, withheld: np.ndarray) -> Manifest:
    """The manifest with the labels of the withheld rows removed."""
    known = ~withheld
    table = manifest.table.assign(rank=manifest.table["rank"].where(known, NO_RANK))
    for column in ("value", CLEAN_RANK, *OPTIONAL, *manifest.attributes):
        if column in table:
            table[column] = table[column].where(known)
    return replace(manifest, table=table)


class LabelDraw:
    """Training targets from the labels of several annotators.

    Args:
        manifest: has the column `labels`.
        how: "random" or "distribution".
        seed: a label is drawn from (seed, epoch, row), so that a resumed run draws the same.
    """

    def __init__(self, manifest: Manifest, how: str, seed: int) -> None:
        training = manifest.table["split"] == "train"  # labels of other rows are not read
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
        """Ranks [B] of rows [B] in an epoch; with "distribution" the share of annotators for each rank [B, R]."""
        if self.how == "random":
            return self._ranks(epoch)[row.cpu()].to(row.device)
        labels_BA, counts_B = self.labels[row.cpu()].long(), self.counts[row.cpu()]
        given_BA = torch.arange(labels_BA.shape[1]) < counts_B[:, None]
        shares_BR = torch.zeros(len(row), self.num_ranks).scatter_add_(1, labels_BA, given_BA.float())
        return (shares_BR / counts_B[:, None]).to(row.device)

    def _ranks(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            # A separate stream: order and views are also drawn from (seed, epoch).
            stream = np.random.default_rng(np.random.SeedSequence([self.seed, epoch], spawn_key=(2,)))
            place = torch.from_numpy(stream.random(len(self.counts))) * self.counts
            self._epoch, self._drawn = epoch, self.labels.gather(1, place.long()[:, None])[:, 0].long()
        return self._drawn


class SplitData:
    """The splits of a job as datasets: cached features if the image tower is frozen, else images.

    Args:
        job: the job.
        backbone: extracts the features, and defines the preprocessing.
        seal: withholds the labels of the test split; None: no label is withheld.
    """

    def __init__(self, job: Job, backbone: Backbone, seal: SealedTestLabels | None = None) -> None:
        cfg = job.cfg
        self.manifest: Manifest = job.manifest
        self.seal = SealedTestLabels(job.manifest, closed=False) if seal is None else seal
        self.backbone = backbone
        self.augment_seed = cfg["seed"] if augments(cfg) else None
        self.cache, self.cache_dir = cfg["cache"], Path(cfg["paths"]["cache"])
        self.every_epoch = ("train", cfg["protocol"]["select_on"])
        self.num_views = cfg["features"]["views"]
        self.how = Extraction(
            batch_size=cfg["features"]["batch_size"],
            num_threads=num_threads(),
            precision=cfg["features"]["precision"],
            limit_gb=self.cache["limit_gb"],
            gpu=cfg["trainer"]["accelerator"] != "cpu",
            label=cfg["backbone"].get("name") or "",
        )
        self._sources: dict[str, ImageSource] = {}
        self.features: StoredFeatures | None = None
        if uses_features(cfg):
            self.features = load_features(backbone, job.manifest, cache_dir=self.cache_dir, how=self.how)

    def split(self, name: str) -> FeatureRows | ViewRows | ImageRows:
        """The dataset of a split, or of "all" splits; only "train" is augmented.

        Raises:
            TestLabelsRead: `name` includes test images, and the seal is closed.
        """
        split = self.manifest.table["split"]
        rows = np.arange(len(split)) if name == "all" else np.flatnonzero((split == name).to_numpy())
        rank = self.seal.ranks(rows)
        seed = self.augment_seed if name == "train" else None
        if self.features is not None and seed is None:
            return FeatureRows(self.features, rows, rank)
        if self.features is not None and seed is not None:
            more: dict[str, Any] = {"num_views": self.num_views, "cache_dir": self.cache_dir, "how": self.how}
            return ViewRows(load_views(self.backbone, self.manifest, rows, **more), rows, rank, seed)
        if name not in self._sources:
            self._sources[name] = self._images(name, rows, augmented=seed is not None)
        return ImageRows(self._sources[name], rows, rank, seed)

    def _images(self, name: str, rows: np.ndarray, *, augmented: bool) -> ImageSource:
        geometry = Geometry(self.backbone.preprocessing, augmented)
        if not self.cache["images"]:
            return ImageSource(self.manifest.files(), geometry)
        if name not in self.every_epoch:  # read once: from the cache if it is there, but not worth writing to it
            return ImageSource(self.manifest.files(), geometry, self.manifest.hashes(), self.cache_dir)
        limit_gb = self.cache["limit_gb"]
        return load_images(self.manifest, rows, geometry, cache_dir=self.cache_dir, limit_gb=limit_gb)
