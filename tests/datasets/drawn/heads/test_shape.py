import gzip

import numpy as np
import pytest

from ordinalclip.datasets.drawn.heads.assets import EYE, MASKS, assets, head_mesh
from ordinalclip.datasets.drawn.heads.chart import _landmarks
from ordinalclip.datasets.drawn.heads.person import Body, macro_shares, shape, shares
from tests.datasets.drawn.heads.needs import needs_anny

pytestmark = needs_anny


def body(years, *, male=0.0, ancestry=(0.0, 0.0, 1.0), weight=0.5, details=None):
    return Body(years, male, ancestry, 0.5, weight, details or {})


def raw(name):
    """A target read line by line, at the head's vertices."""
    moved = {}
    with gzip.open(assets() / "targets" / f"{name}.target.gz", "rt") as file:
        for line in file:
            vertex, x, y, z = line.split()
            moved[int(vertex)] = (float(x), float(y), float(z))
    return np.array([moved.get(vertex, (0.0, 0.0, 0.0)) for vertex in head_mesh().vertices.tolist()])


def test_neighbouring_anchors_share():
    anchors = (1.0, 10.0, 25.0, 90.0)
    assert shares(1, anchors).tolist() == [1, 0, 0, 0]
    assert shares(0, anchors).tolist() == [1, 0, 0, 0]
    assert shares(16, anchors).tolist() == pytest.approx([0, 0.6, 0.4, 0])
    assert shares(90, anchors).tolist() == [0, 0, 0, 1]


def test_macro_shares_add_up_to_one_for_each_family():
    mixed = Body(37.0, 0.3, (0.2, 0.5, 0.3), 0.3, 0.8, {})
    found = dict(macro_shares(mixed))
    of_ancestry = [share for name, share in found.items() if "universal" not in name]
    of_build = [share for name, share in found.items() if "universal" in name]
    assert sum(of_ancestry) == pytest.approx(1)
    assert sum(of_build) == pytest.approx(1)
    assert len(of_ancestry) == 2 * 2 * 3
    assert len(of_build) == 2 * 2 * 2 * 2
    old = (37 - 25) / 65
    assert found["macrodetails/asian-male-old"] == pytest.approx(0.5 * 0.3 * old)
    assert found["macrodetails/universal-female-young-averagemuscle-maxweight"] == pytest.approx(
        0.7 * (1 - old) * 0.6 * 0.6
    )


def test_a_head_is_the_base_mesh_and_its_targets():
    half_way = body(57.5, details={"head/head-round": 0.4})
    build = "macrodetails/universal-female-{}-averagemuscle-averageweight"
    expected = head_mesh().rest + 0.4 * raw("head/head-round")
    for age in ("young", "old"):
        expected = expected + 0.5 * raw(f"macrodetails/caucasian-female-{age}") + 0.5 * raw(build.format(age))
    np.testing.assert_allclose(shape(half_way), expected, atol=1e-12)


def measures(years, **options):
    """Height of the head, width of the eyes by it, and height of the eyes above the chin by it."""
    points, of, mesh = shape(body(years, **options)), _landmarks(), head_mesh()
    chin, crown = points[of.chin].mean(axis=0)[1], points[of.crown, 1]
    eyes = points[mesh.of_part(EYE)]
    left = eyes[eyes[:, 0] > 0]
    return crown - chin, np.ptp(left[:, 0]) / (crown - chin), (left[:, 1].mean() - chin) / (crown - chin)


@pytest.mark.parametrize("male", [0.0, 1.0])
def test_a_child_grows_into_its_head(male):
    ages = (1, 3, 5, 8, 12, 16, 20, 25)
    heights, eyes, levels = np.array([measures(years, male=male) for years in ages]).T
    assert (np.diff(heights) > 0).all()  # the head grows,
    assert (np.diff(eyes) < 0).all()  # the eyes by less,
    assert levels[-1] > levels[0] + 0.05  # and most of the growth is below them


def test_weight_ancestry_and_sex_change_the_shape():
    plain = shape(body(30))
    for other in (body(30, weight=0.9), body(30, ancestry=(1.0, 0.0, 0.0)), body(30, male=1.0), body(31)):
        assert np.abs(shape(other) - plain).max() > 0.002


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
