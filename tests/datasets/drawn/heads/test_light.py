import numpy as np
import pytest

from ordinalclip.datasets.drawn.heads.assets import head_mesh
from ordinalclip.datasets.drawn.heads.paint import Surface, _sphere, lit, occlusion, shade
from ordinalclip.datasets.drawn.heads.shot import Lamp
from tests.datasets.drawn.heads.needs import needs_anny

UP = (0.0, 1.0, 0.0)


def surface(normals, **changes):
    number = len(normals)
    plain = {
        "colour": np.full((number, 3), 0.5),
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
    glossy = surface(normals, colour=np.zeros((2, 3)), gloss=np.ones(2), sharpness=np.full(2, 50.0))
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
