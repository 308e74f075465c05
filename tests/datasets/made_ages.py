"""Every data set of ages in its published layout, made small, where its yaml looks for it."""

from pathlib import Path

from tests.datasets.made_adience import make_adience
from tests.datasets.made_morph import make_morph_csv


def make_ages(data: Path) -> None:
    make_morph_csv(data / "MORPH_nonCommercial")
    make_adience(data / "adience")
