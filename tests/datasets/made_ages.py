"""Every data set of ages in its published layout, made small, where its yaml looks for it."""

from collections.abc import Sequence
from pathlib import Path

from tests.datasets.made import write_image
from tests.datasets.made_morph import make_morph_csv, write_lists
from tests.datasets.made_tables import make_tables

HEADER = (
    *("user_id", "original_image", "face_id", "age", "gender", "x", "y", "dx", "dy"),
    *("tilt_ang", "fiducial_yaw_angle", "fiducial_score"),
)
PREFIX = {"aligned": "landmark_aligned_face", "faces": "coarse_tilt_aligned_face"}
GROUPS = ("(0, 2)", "(4, 6)", "(8, 12)", "(15, 20)", "(25, 32)", "(38, 43)", "(48, 53)", "(60, 100)")

Face = tuple[str, str, int, str, str]  # user, photo, face, age, gender


def write_folds(root: Path, folds: Sequence[Sequence[Face]], *, stem: str = "fold", images: str = "aligned") -> None:
    for number, faces in enumerate(folds):
        lines = ["\t".join(HEADER)]
        for user, photo, face, age, gender in faces:
            lines.append("\t".join([user, photo, str(face), age, gender, *["0"] * 7]))
            write_image(root / images / user / f"{PREFIX[images]}.{face}.{photo}", face)
        root.mkdir(parents=True, exist_ok=True)
        (root / f"{stem}_{number}_data.txt").write_bytes(("\n".join(lines) + "\n").encode())


def make_adience(root: Path) -> None:
    """Five folds, each of three users with a face of every group."""
    folds = [
        [
            (f"{fold}{user}@N00", f"{fold}{user}{rank}_o.jpg", 100 * fold + 10 * user + rank, label, "fm"[rank % 2])
            for user in range(3)
            for rank, label in enumerate(GROUPS)
        ]
        for fold in range(5)
    ]
    write_folds(root, folds)


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
