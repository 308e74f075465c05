"""Every data set of ages in its published layout, made small, where its yaml looks for it."""

from pathlib import Path

from tests.datasets.made_adience import make_adience
from tests.datasets.made_morph import make_morph_csv, write_lists
from tests.datasets.made_names import make_names
from tests.datasets.made_tables import make_tables

AGE_SETS = (
    *("morph", "morph_settings", "adience", "utkface", "agedb", "afad", "fgnet", "cacd"),
    *("clap2015", "clap2016", "appa_real", "imdb_wiki", "imdb_clean"),
)


def make_ages(data: Path) -> None:
    names = make_morph_csv(data / "MORPH_nonCommercial")
    write_lists(data / "MORPH_nonCommercial" / "datalist" / "morph", names)
    make_adience(data / "adience")
    make_names(data)
    make_tables(data)
