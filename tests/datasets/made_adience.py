"""Adience's layout, made small: the folders of both kinds of images and the tables of folds."""

from collections.abc import Sequence
from pathlib import Path

from tests.datasets.made import write_image

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
