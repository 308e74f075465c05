"""The sets of ages whose labels stand in the names of their images, made small in their published layouts."""

from collections.abc import Sequence
from pathlib import Path

from tests.datasets.made import write_image


def write_images(root: Path, paths: Sequence[str]) -> None:
    for index, path in enumerate(paths):
        write_image(root / path, index)


def make_names(data: Path) -> None:
    """Each of them where its yaml looks for it, large enough to be trained on."""
    stamp = "20170109142408"
    write_images(
        data / "UTKFace", [f"UTKFace/{20 + i % 5}_{i % 2}_{i % 4}_{stamp}{i:03d}.jpg.chip.jpg" for i in range(60)]
    )
    write_images(data / "AgeDB", [f"{i}_Name{i // 3}_{20 + i % 5}_f.jpg" for i in range(60)])
    write_images(data / "AFAD-Full", [f"{20 + i % 5}/{111 + i % 2}/{1000 + i // 2}-{i % 2}.jpg" for i in range(60)])
    write_images(data / "FGNET", [f"images/{1 + i // 4:03d}A{10 + i % 5:02d}.JPG" for i in range(60)])
