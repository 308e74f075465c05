"""ELPV: 2,624 electroluminescence photos of solar cells, graded by an expert, from the installed `elpv_dataset`.

Deitsch et al., "Automatic classification of defective photovoltaic module cells in electroluminescence images",
Solar Energy 185, 2019. Images CC BY-NC-SA 4.0: they are read from the package and never copied.
"""

import importlib.util
from pathlib import Path
from typing import Literal

import pandas as pd

from ordinalclip.datasets.manifest import Manifest, build_manifest
from ordinalclip.errors import ConfigError
from ordinalclip.system.files import write_atomically

PACKAGE = "elpv_dataset"
RANK_NAMES = ("intact", "probably intact", "probably defective", "defective")
RANK_VALUES = (0.0, 1 / 3, 2 / 3, 1.0)
LICENCE_NOTE = (
    "ELPV's images are CC BY-NC-SA 4.0: use them without commerce, name Deitsch et al. (Solar Energy 185, 2019), "
    "share what you make of them alike"
)


def load_elpv(*, on_error: Literal["raise", "skip"] = "raise", data_dir: Path, cache_dir: Path) -> Manifest:
    """Load ELPV from the installed package: four ranks of defect probability, with `cell_type` (mono or poly).

    Rows keep the package's order, in which neighbors show the same module. The licence is a note once for each
    `cache_dir`.

    Raises:
        ConfigError: the package is not installed.
    """
    root = _package_folder() / "data"
    labels = pd.read_csv(root / "labels.csv", sep=r"\s+", header=None, names=["path", "raw", "cell_type"], dtype="str")
    table = pd.DataFrame(
        {
            "path": labels["path"],
            "rank": (labels["raw"].astype("float64") * 3).round().astype("int64"),
            "raw": labels["raw"],
            "cell_type": labels["cell_type"],
        }
    )
    return build_manifest(
        table,
        name="elpv",
        rank_names=RANK_NAMES,
        rank_values=RANK_VALUES,
        unit="defect probability",
        root=root,
        cache_dir=cache_dir,
        on_error=on_error,
        notes=_licence_once(cache_dir),
    )


def _package_folder() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ConfigError(
            "dataset",
            "elpv",
            f"its images come with the package {PACKAGE}, which is not installed",
            allowed="dataset=gauge and dataset=digits need no package",
            remedy="make setup, or pip install 'ordinalclip[demo]'",
        )
    return Path(spec.origin).parent


def _licence_once(cache_dir: Path) -> list[str]:
    stamp = cache_dir / "told" / "elpv-licence.txt"
    if stamp.exists():
        return []
    write_atomically(stamp, lambda part: part.write_text(LICENCE_NOTE + "\n", encoding="utf-8"))
    return [LICENCE_NOTE]
