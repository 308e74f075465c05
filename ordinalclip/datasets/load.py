"""From the groups `dataset`, `protocol` and `subset` of a config to a checked manifest with its split.

`load_manifest` is `split_manifest`, which loads the data set and reads its images, and `finish_manifest`, which takes
the subset and checks the result. Runs on subsets of one data set share the first part.
"""

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
from ordinalclip.datasets.splits import carve_calibration, linked_units
from ordinalclip.datasets.subset import take_subset
from ordinalclip.errors import ConfigError, DataError

# Keys of a dataset's yaml that describe it and are not passed to its loader.
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
    """Loads a data set, reads all of its images, splits it, takes a subset and checks the result.

    Args:
        dataset_cfg: the group `dataset`: `_target_`, the loader's options, and the keys in `DESCRIPTIVE`.
        protocol_cfg: the group `protocol`.
        subset_cfg: the group `subset`; None uses the whole data set.
        data_dir: folder of data sets that are unpacked or drawn.
        cache_dir: the platform's cache.
        needed: splits that must have images. Training images are only checked if it has "train".

    Returns:
        The manifest, each row with its split and the SHA-256 of its image.

    Raises:
        ConfigError: settings cannot be used.
        DataError: images are broken, ranks out of range, paths duplicated, or a split is empty.
    """
    manifest = split_manifest(dataset_cfg, protocol_cfg, data_dir=data_dir, cache_dir=cache_dir)
    return finish_manifest(manifest, protocol_cfg, subset_cfg, needed)


def split_manifest(
    dataset_cfg: Mapping[str, Any], protocol_cfg: Mapping[str, Any], *, data_dir: Path, cache_dir: Path
) -> Manifest:
    """Loads a data set, reads its images and splits it; see `load_manifest`."""
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
    """Takes the subset and the calibration split, and checks the result; see `load_manifest`."""
    if subset_cfg is not None:
        manifest = take_subset(manifest, **subset_cfg)
    split = protocol_cfg["split"]
    share = protocol_cfg.get("calibration", 0)  # absent in the earliest runs
    manifest = carve_calibration(manifest, share, seed=split.get("seed", 0), block_size=split.get("block_size"))
    return check_split(manifest, protocol_cfg.get("select_on", "val"), protocol_cfg.get("leakage", "warn"), needed)


def check_split(
    manifest: Manifest, select_on: str = "val", leakage: str = "warn", needed: Sequence[str] = SPLITS
) -> Manifest:
    """Checks the splits that a protocol and a subset made.

    Args:
        manifest: with `split` filled.
        select_on: split that the epoch is chosen on; if it is "test", val may be empty.
        leakage: "warn" about leakage between splits, or "forbid" it.
        needed: see `load_manifest`.

    Returns:
        The manifest, with notes on ranks without training images and on leakage.

    Raises:
        DataError: a split is empty, training has fewer than two ranks, or there is forbidden leakage.
    """
    table = manifest.table
    sizes = table["split"].value_counts()
    empty = [split for split in needed if split not in sizes and not (split == "val" and select_on == "test")]
    if empty:
        remedy = "  what to do: more images, or other shares in protocol.split"
        columns = [column for column in ("subject", "group") if table[column].notna().any()]
        units = int(linked_units(table).max()) + 1
        if columns and len(sizes) == 1 and units < len(SPLITS):
            column = " and ".join(columns)
            remedy = (
                f"  why: images that share a {' or '.join(columns)} stay together, and the column {column} makes "
                f"{units} parts, too few for {len(SPLITS)} splits\n"
                f"  what to do: protocol=random, which shares out single images, or drop the column {column}"
            )
        elif empty == ["val"]:
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
    notes = [*(_untrained_note(manifest, trained) if "train" in needed else ()), *leakage_notes(report)]
    return replace(manifest, notes=(*manifest.notes, *notes))


def summary(manifest: Manifest) -> str:
    """Returns a text table of the number of images per rank and split."""
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


def _untrained_note(manifest: Manifest, trained: set[int]) -> list[str]:
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
    """Returns the function that a `_target_` names. Hydra's `instantiate` would wrap the function's errors."""
    module, _, name = target.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(key, target, f"there is no such function ({error})") from None
