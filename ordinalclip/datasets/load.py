"""From the dataset and protocol groups of a config to a checked manifest with its split."""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pandas as pd
from omegaconf import DictConfig, OmegaConf

from ordinalclip.datasets.bad_rows import NUM_LISTED
from ordinalclip.datasets.leakage import forbid_leakage, leakage_notes, measure_leakage
from ordinalclip.datasets.manifest import ALL_SPLITS, SPLITS, Manifest
from ordinalclip.datasets.splits import carve_calibration
from ordinalclip.datasets.subset import take_subset
from ordinalclip.errors import ConfigError, DataError

# Keys of a dataset's yaml that describe it, and are no options of its loader.
DESCRIPTIVE = ("name", "context", "licence", "citation", "photos")


def load_manifest(
    dataset_cfg: Mapping[str, Any],
    protocol_cfg: Mapping[str, Any],
    subset_cfg: Mapping[str, Any] | None = None,
    *,
    data_dir: Path,
    cache_dir: Path,
    needed: Sequence[str] = SPLITS,
) -> Manifest:
    """Load a data set, look at all of its images, split it by the protocol, take a subset, and check the outcome.

    Args:
        dataset_cfg: the group `dataset`: `_target_`, the loader's options, and the descriptive keys.
        protocol_cfg: the group `protocol`, of which `split` and `select_on` are used.
        subset_cfg: the group `subset`; None is all of the data set.
        data_dir: where data sets lie or are made.
        cache_dir: where findings are remembered.
        needed: splits that must have images; without "train" there need be nothing to train on.

    Returns:
        The manifest, each row with its split and the SHA-256 of its image.

    Raises:
        ConfigError: for settings that cannot be used.
        DataError: for broken images, ranks out of range, duplicate paths, an empty split.
    """
    manifest = split_manifest(dataset_cfg, protocol_cfg, data_dir=data_dir, cache_dir=cache_dir)
    return finish_manifest(manifest, protocol_cfg, subset_cfg, needed)


def split_manifest(
    dataset_cfg: Mapping[str, Any], protocol_cfg: Mapping[str, Any], *, data_dir: Path, cache_dir: Path
) -> Manifest:
    """The first part of `load_manifest`, which looks at the images; subsets of a data set share it."""
    options, split = _plain(dataset_cfg), _plain(protocol_cfg)["split"]
    loader = _find("dataset._target_", options.pop("_target_"))
    description = {key: options.pop(key) for key in DESCRIPTIVE if key in options}
    manifest: Manifest = loader(**options, data_dir=Path(data_dir), cache_dir=Path(cache_dir))
    manifest = replace(manifest, name=description.get("name", manifest.name))
    protocol = _find("protocol.split._target_", split.pop("_target_"))
    done: Manifest = protocol(manifest, **split)
    return done


def finish_manifest(
    manifest: Manifest,
    protocol_cfg: Mapping[str, Any],
    subset_cfg: Mapping[str, Any] | None,
    needed: Sequence[str] = SPLITS,
) -> Manifest:
    """The second part of `load_manifest`: the subset, what is set aside of val, and the check."""
    if subset_cfg is not None:
        manifest = take_subset(manifest, **subset_cfg)
    split = protocol_cfg["split"]
    share = protocol_cfg.get("calibration", 0)  # runs of before had none
    manifest = carve_calibration(manifest, share, seed=split.get("seed", 0), block_size=split.get("block_size"))
    return check_split(manifest, protocol_cfg.get("select_on", "val"), protocol_cfg.get("leakage", "warn"), needed)


def check_split(
    manifest: Manifest, select_on: str = "val", leakage: str = "warn", needed: Sequence[str] = SPLITS
) -> Manifest:
    """Check what a protocol and a subset made.

    Args:
        manifest: with `split` filled.
        select_on: the split that an epoch is chosen on; val may be empty where it is "test".
        leakage: "warn" about what stands in two splits, or "forbid" it.
        needed: see `load_manifest`.

    Returns:
        The manifest, with notes on ranks without a training image and on what stands in two splits.

    Raises:
        DataError: where a split is empty, or training has fewer than two ranks, or what is forbidden leaks.
    """
    table = manifest.table
    sizes = table["split"].value_counts()
    empty = [split for split in needed if split not in sizes and not (split == "val" and select_on == "test")]
    if empty:
        remedy = "  what to do: more images, or other shares in protocol.split"
        if empty == ["val"]:
            remedy = "  what to do: protocol=carve_val takes one from the training images (val_from_train)"
        raise DataError(
            f"{manifest.name}: no image in the split {' and '.join(empty)} (of {len(table)} images: "
            f"{', '.join(f'{split} {sizes.get(split, 0)}' for split in SPLITS)})\n{remedy}"
        )
    trained = set(table.loc[table["split"] == "train", "rank"])
    if "train" in needed and len(trained) < 2:
        raise DataError(
            f"{manifest.name}: all training images have rank {trained.pop()}; training needs two ranks or more"
        )
    report = measure_leakage(manifest)
    if leakage == "forbid":
        forbid_leakage(manifest.name, report)
    notes = [*(_untrained(manifest, trained) if "train" in needed else ()), *leakage_notes(report)]
    return replace(manifest, notes=(*manifest.notes, *notes))


def summary(manifest: Manifest) -> str:
    """A text table: images per rank and split."""
    table, num_ranks = manifest.table, manifest.num_ranks
    splits = table["split"].fillna("none") if table["split"].isna().any() else table["split"]
    counts = pd.crosstab(table["rank"], splits)
    columns = [split for split in (*ALL_SPLITS, "none") if split in counts or split in SPLITS]
    counts = counts.reindex(index=range(num_ranks), columns=columns, fill_value=0)
    head = ["rank", "name", manifest.unit or "value", *columns]
    rows = [
        [str(rank), manifest.rank_names[rank], f"{manifest.rank_values[rank]:.4g}", *(f"{count:,}" for count in row)]
        for rank, row in enumerate(counts.itertuples(index=False))
    ]
    rows.append(["all", "", "", *(f"{count:,}" for count in counts.sum())])
    lengths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = [f"{manifest.name}: {len(table):,} images, {num_ranks} ranks"]
    for cells in [head, *rows]:
        left = [cell.ljust(length) for cell, length in zip(cells[:2], lengths[:2], strict=True)]
        right = [cell.rjust(length) for cell, length in zip(cells[2:], lengths[2:], strict=True)]
        lines.append("  ".join(["", *left, *right]).rstrip())
    return "\n".join(lines)


def _untrained(manifest: Manifest, trained: set[int]) -> list[str]:
    missing = [manifest.rank_names[rank] for rank in range(manifest.num_ranks) if rank not in trained]
    if not missing:
        return []
    more = f" … and {len(missing) - NUM_LISTED} more" if len(missing) > NUM_LISTED else ""
    return [
        f"{len(missing)} of {manifest.num_ranks} ranks have no training image: {', '.join(missing[:NUM_LISTED])}{more}"
    ]


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(config, DictConfig):
        return cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))
    return {key: _plain(value) if isinstance(value, Mapping) else value for key, value in config.items()}


def _find(key: str, target: str) -> Any:
    """The function that a `_target_` names; Hydra's own instantiate would wrap our errors in its."""
    module, _, name = target.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(key, target, f"there is no such function ({error})") from None
