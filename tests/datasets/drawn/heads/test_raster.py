import numpy as np
import pytest

from ordinalclip.datasets.drawn.heads import paint as raster
from ordinalclip.datasets.drawn.heads.paint import rasterise


def slow(points, depth, triangles, width, height):
    """Pixel by pixel: solve for the weights, keep the nearest."""
    owner = np.full(height * width, -1)
    weights = np.zeros((height * width, 3))
    for pixel in range(height * width):
        at = np.array([pixel % width + 0.5, pixel // width + 0.5, 1.0])
        nearest = -np.inf
        for number, corners in enumerate(triangles):
            matrix = np.vstack([points[corners].T, np.ones(3)])
            if abs(np.linalg.det(matrix)) < 1e-12 or (depth[corners] <= 0).any():
                continue
            flat = np.linalg.solve(matrix, at)
            near = flat @ (1 / depth[corners])
            if (flat >= 0).all() and near > nearest:
                nearest, owner[pixel] = near, number
                weights[pixel] = flat / depth[corners] / near
    return owner, weights


@pytest.mark.parametrize("seed", range(4))
def test_against_a_pixel_by_pixel_reference(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    monkeypatch.setattr(raster, "CHUNK", 60)  # several chunks, which have to agree about what is nearest
    width, height = 13, 9
    points = rng.uniform(-6, 18, size=(15, 2))
    depth = rng.uniform(0.5, 9, size=15)
    depth[0] = -1.0
    triangles = rng.integers(0, 15, size=(12, 3))
    owner, weights = slow(points, depth, triangles, width, height)
    found = rasterise(points, depth, triangles, width, height)
    assert found.pixel.tolist() == np.flatnonzero(owner >= 0).tolist()
    assert len(found.pixel) > 20
    np.testing.assert_array_equal(found.triangle, owner[found.pixel])
    np.testing.assert_allclose(found.weights, weights[found.pixel], atol=1e-9)


def test_the_nearest_wins_whatever_the_order():
    points = np.array([[0, 0], [8, 0], [0, 8], [0, 0], [8, 0], [0, 8]], dtype=float)
    depth = np.array([5, 5, 5, 3, 3, 3], dtype=float)
    behind, before = [0, 1, 2], [3, 4, 5]
    for triangles, nearest in (([behind, before], 1), ([before, behind], 0)):
        assert set(rasterise(points, depth, np.array(triangles), 4, 4).triangle.tolist()) == {nearest}


def test_triangles_that_pierce_each_other_share_the_picture():
    points = np.array([[0, 0], [8, 0], [8, 8], [0, 8]] * 2, dtype=float)
    # One falls away to the right, the other to the left: on each half the one that is nearer there.
    depth = np.array([2, 6, 6, 2, 6, 2, 2, 6], dtype=float)
    triangles = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    owner = rasterise(points, depth, triangles, 8, 8).triangle.reshape(8, 8) // 2
    assert (owner[:, :4] == 0).all()
    assert (owner[:, 4:] == 1).all()


def test_neighbours_leave_no_gap_and_values_are_right_for_perspective():
    points = np.array([[0, 0], [8, 0], [8, 8], [0, 8]], dtype=float)
    depth = np.array([1, 3, 3, 1], dtype=float)
    triangles = np.array([[0, 1, 2], [0, 2, 3]])
    found = rasterise(points, depth, triangles, 8, 8)
    assert found.pixel.tolist() == list(range(64))
    # A value that is linear in space: x / depth is linear on the screen, so is 1 / depth.
    share = (found.pixel % 8 + 0.5) / 8
    expected = (share * 1 / 3) / ((1 - share) * 1 + share * 1 / 3)
    values = found.interpolate(triangles, np.array([[0.0], [1.0], [1.0], [0.0]]))
    np.testing.assert_allclose(values[:, 0], expected, atol=1e-12)


def test_nothing_to_see():
    nothing = rasterise(np.array([[20.0, 20], [22, 20], [20, 22]]), np.ones(3), np.array([[0, 1, 2]]), 8, 8)
    assert nothing.pixel.size == 0
    assert nothing.weights.shape == (0, 3)
