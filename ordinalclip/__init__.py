"""OrdinalCLIP: ordinal regression with vision-language models."""

from pathlib import Path
from typing import TYPE_CHECKING

from ordinalclip.system import VERSION

if TYPE_CHECKING:
    from ordinalclip.inference.model import RankModel

__version__ = VERSION
__all__ = ["__version__", "load"]


def load(
    source: str | Path, *, device: str = "auto", runs: str | Path | None = None, trusted: bool = False
) -> "RankModel":
    """Opens a trained model: `load("runs/…").predict(images)`. See `ordinalclip.inference.opening.load`."""
    from ordinalclip.inference.opening import load as load_model  # imports torch, which `--help` does not need

    return load_model(source, device=device, runs=runs, trusted=trusted)
