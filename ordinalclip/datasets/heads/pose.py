"""Turning a head on its neck and seeing it with a camera."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from ordinalclip.datasets.heads.chart import chart_of_mesh
from ordinalclip.datasets.heads.mesh import head_mesh
from ordinalclip.datasets.heads.shot import Shot


@dataclass(frozen=True, eq=False)
class Posed:
    """A head before the camera, which looks along -z.

    Args:
        points: decimetres from the middle of the head, x to the picture's right, y up, z to the camera [V, 3].
        normals: of length 1 [V, 3].
        right: where on the skin the azimuth grows, of length 1 [V, 3].
        up: where on the skin the height grows, of length 1 [V, 3].
        hollow: how far a vertex lies below its neighbours, in decimetres [V].
        screen: places in the picture, in pixels, y down [V, 2].
        depth: distance from the camera's plane, in decimetres [V].
    """

    points: np.ndarray
    normals: np.ndarray
    right: np.ndarray
    up: np.ndarray
    hollow: np.ndarray
    screen: np.ndarray
    depth: np.ndarray


def pose(shape: np.ndarray, shot: Shot, size: int) -> Posed:
    """Turn head and shoulders, and project them.

    Args:
        shape: vertices of a head [V, 3].
        shot: pose and camera.
        size: edge of the picture in pixels.
    """
    mesh, of = head_mesh(), _landmarks()
    pivot = shape[of.neck].mean(axis=0)
    turned = _turn(shape - pivot, shot)
    middle = (turned[of.crown] + turned[of.chin].mean(axis=0)) / 2
    middle[2] = turned[of.neck, 2].mean() + 0.6
    length = np.linalg.norm(shape[of.crown] - shape[of.chin].mean(axis=0))
    points = turned - middle
    depth = np.maximum(shot.distance - points[:, 2], 0.1)
    focal = shot.fill * size / length * shot.distance
    screen = np.stack(
        [shot.centre[0] * size + focal * points[:, 0] / depth, shot.centre[1] * size - focal * points[:, 1] / depth],
        axis=1,
    )
    normals = mesh.normals(points)
    azimuth = chart_of_mesh()[:, 0]
    right = np.stack([np.cos(azimuth), np.zeros_like(azimuth), -np.sin(azimuth)], axis=1)
    up = np.tile([0.0, 1.0, 0.0], (len(right), 1))
    beside = mesh.beside @ points - points
    return Posed(points, normals, _turn(right, shot), _turn(up, shot), (beside * normals).sum(axis=1), screen, depth)


def _turn(points: np.ndarray, shot: Shot) -> np.ndarray:
    """Yaw, pitch and roll about the origin: the head's all, the shoulders' their own, the neck's between."""
    share = _landmarks().follows
    x, y, z = points.T
    yaw = shot.torso + share * (shot.yaw - shot.torso)
    x, z = x * np.cos(yaw) + z * np.sin(yaw), z * np.cos(yaw) - x * np.sin(yaw)
    pitch = -share * shot.pitch
    y, z = y * np.cos(pitch) - z * np.sin(pitch), z * np.cos(pitch) + y * np.sin(pitch)
    roll = -share * shot.roll
    x, y = x * np.cos(roll) - y * np.sin(roll), y * np.cos(roll) + x * np.sin(roll)
    return np.stack([x, y, z], axis=1)


@dataclass(frozen=True, eq=False)
class _Landmarks:
    neck: np.ndarray
    crown: int
    chin: np.ndarray
    follows: np.ndarray


@cache
def _landmarks() -> _Landmarks:
    mesh = head_mesh()
    x, y, z = mesh.rest.T
    skin = mesh.is_skin
    share = np.clip((y - 5.5) / (6.35 - 5.5), 0, 1)
    return _Landmarks(
        neck=np.flatnonzero(skin & (np.abs(y - 5.95) < 0.1)),
        crown=int(np.where(skin, y, -np.inf).argmax()),
        chin=np.flatnonzero(skin & (np.abs(x) < 0.1) & (z > 1.2) & (y > 6.14) & (y < 6.25)),
        follows=share * share * (3 - 2 * share),
    )
