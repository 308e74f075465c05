"""What a run is fitted and measured on: features or images of its splits, from the caches where they can be."""

from pathlib import Path
from typing import Any

import numpy as np

from ordinalclip.backbones.backbone import Backbone
from ordinalclip.batches import FeatureRows, ImageRows, ViewRows
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.derived import augments, uses_features
from ordinalclip.features import Extraction, load_features, load_views
from ordinalclip.image_build import num_threads
from ordinalclip.image_cache import ImageSource, load_images
from ordinalclip.image_geometry import Geometry
from ordinalclip.prepare import Job
from ordinalclip.seal import Seal
from ordinalclip.stored_features import StoredFeatures


class SplitData:
    """The splits of a job as datasets: cached features where the image tower is frozen, images where it is not.

    Args:
        job: with its manifest.
        backbone: with its preprocessing.
        seal: what it says about the test split; None = all may be seen.
    """

    def __init__(self, job: Job, backbone: Backbone, seal: Seal | None = None) -> None:
        cfg = job.cfg
        self.manifest: Manifest = job.manifest
        self.seal = Seal(job.manifest, closed=False) if seal is None else seal
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
        """A split, or "all" of them; only "train" is ever augmented.

        Raises:
            TestTouched: test images are asked for under a closed seal.
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
        if name not in self.every_epoch:  # read once: from the cache where it is there, not worth filling the disk for
            return ImageSource(self.manifest.files(), geometry, self.manifest.hashes(), self.cache_dir)
        limit_gb = self.cache["limit_gb"]
        return load_images(self.manifest, rows, geometry, cache_dir=self.cache_dir, limit_gb=limit_gb)
