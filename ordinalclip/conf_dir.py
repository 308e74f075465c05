"""Where the configuration lies: at the top of a checkout, where users edit it, or inside an installed package."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_MAIN = "train.yaml"


def conf_dir(package: Path = _PACKAGE) -> Path:
    """The folder with `train.yaml` and the config groups.

    Args:
        package: the folder of this package.

    Raises:
        FileNotFoundError: if the package was copied without its configuration.
    """
    candidates = (package / "conf", package.parent / "conf")
    for folder in candidates:
        if (folder / _MAIN).is_file():
            return folder
    looked = " and ".join(str(folder / _MAIN) for folder in candidates)
    raise FileNotFoundError(
        f"there is no configuration: looked for {looked}. "
        "Run from a checkout (git clone, make setup) or install a wheel of this project, which carries it."
    )
