"""From a seed to a picture of a head: who, when, how; then shape, pose, layers, light and camera."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from ordinalclip.datasets.heads import hair
from ordinalclip.datasets.heads.backdrop import backdrop, photograph
from ordinalclip.datasets.heads.chart import chart_of_mesh, sample
from ordinalclip.datasets.heads.charts import Charts, draw_charts
from ordinalclip.datasets.heads.light import Surface, lit, occlusion, shade
from ordinalclip.datasets.heads.mesh import HAIR, MASKS, SKIN, head_mesh
from ordinalclip.datasets.heads.paint import Seen, paint
from ordinalclip.datasets.heads.person import Person, ramp
from ordinalclip.datasets.heads.pose import Posed, pose
from ordinalclip.datasets.heads.raster import rasterise
from ordinalclip.datasets.heads.series import Series
from ordinalclip.datasets.heads.shape import shape
from ordinalclip.datasets.heads.shot import Shot, sample_shot

SUPERSAMPLING = 2
_BUMP = np.float32(1.7)


def render_head(series: Series, subject: int, image: int, size: int) -> Image.Image:
    """Render one picture of a series.

    Args:
        series: who is on the picture, and how old.
        subject: number of the person.
        image: number of the picture of that person.
        size: edge in pixels.

    Returns:
        An RGB image [size, size], which depends on these four only.
    """
    person = series.person(subject)
    rng = np.random.default_rng((series.seed, 2, subject, image))
    return picture(rng, person, series.years(subject, image), sample_shot(rng, person), size)


def picture(rng: np.random.Generator, person: Person, years: float, shot: Shot, size: int) -> Image.Image:
    """Render a person at an age as a shot says; `rng` draws background and noise."""
    edge = size * SUPERSAMPLING
    points = shape(person.body(years, shot.expression))
    charts = draw_charts(person, years, shot)
    posed = pose(_with_hair(points, charts.scalp, person, years, shot), shot, edge)
    seen = _visible(posed, person, years, shot, edge)
    light = backdrop(rng, edge)
    covered = np.zeros((edge, edge), dtype=bool)
    covered.reshape(-1)[seen.pixel] = True
    light.reshape(-1, 3)[seen.pixel] = _lighten(posed, seen, charts, person, years, shot)
    return photograph(rng, light, covered)


@dataclass(frozen=True, eq=False)
class _Visible:
    """What the camera sees at each of N pixels: corners and their weights, [N, 3] each."""

    pixel: np.ndarray
    corners: np.ndarray
    weights: np.ndarray
    part: np.ndarray

    def of(self, values: np.ndarray) -> np.ndarray:
        """Values of vertices [V, C] at the pixels [N, C]."""
        total = values[self.corners[:, 0]] * self.weights[:, :1]
        for corner in (1, 2):
            total += values[self.corners[:, corner]] * self.weights[:, corner : corner + 1]
        return total


def _with_hair(points: np.ndarray, scalp: np.ndarray, person: Person, years: float, shot: Shot) -> np.ndarray:
    """Lift the scalp by the thickness of its hair."""
    mesh = head_mesh()
    cover = sample([scalp], chart_of_mesh())[0] * (1 - mesh.masks[:, MASKS.index("ears")]) * mesh.is_skin
    thickness = hair.THICKNESS[person.hair_style] * shot.hair_length * ramp(years, -2, 8)
    return points + mesh.normals(points) * (cover * thickness)[:, None]


def _visible(posed: Posed, person: Person, years: float, shot: Shot, edge: int) -> _Visible:
    mesh = head_mesh()
    x, y = posed.screen.T
    first, second, third = mesh.triangles.T
    # On the screen y points down, so what faces the camera runs clockwise there.
    facing = (x[second] - x[first]) * (y[third] - y[first]) - (x[third] - x[first]) * (y[second] - y[first]) < 0
    solid = np.flatnonzero(facing & (mesh.part != HAIR))
    fragments = rasterise(posed.screen, posed.depth, mesh.triangles[solid], edge, edge)
    owner = solid[fragments.triangle]
    weights = fragments.weights.astype(np.float32)
    seen = _Visible(fragments.pixel, mesh.triangles[owner], weights, mesh.part[owner])
    if person.hair_style != "long" or years < 4:
        return seen
    return _with_long_hair(seen, posed, person, years, edge)


def _with_long_hair(seen: _Visible, posed: Posed, person: Person, years: float, edge: int) -> _Visible:
    """Lay the layer of long hair over the rest, cut open where the face is."""
    mesh = head_mesh()
    strands = np.flatnonzero(mesh.part == HAIR)
    fragments = rasterise(posed.screen, posed.depth, mesh.triangles[strands], edge, edge)
    corners = mesh.triangles[strands[fragments.triangle]]
    weights = fragments.weights.astype(np.float32)
    layer = _Visible(fragments.pixel, corners, weights, np.full(len(corners), HAIR))
    kept = hair.is_in_layer(person, layer.of(chart_of_mesh()))
    near = np.full(edge * edge, np.inf)
    near[seen.pixel] = seen.of(posed.depth[:, None])[:, 0]
    kept &= layer.of(posed.depth[:, None])[:, 0] < near[layer.pixel]
    under = ~np.isin(seen.pixel, layer.pixel[kept])
    return _Visible(
        np.concatenate([seen.pixel[under], layer.pixel[kept]]),
        np.concatenate([seen.corners[under], layer.corners[kept]]),
        np.concatenate([seen.weights[under], layer.weights[kept]]),
        np.concatenate([seen.part[under], layer.part[kept]]),
    )


def _lighten(posed: Posed, seen: _Visible, charts: Charts, person: Person, years: float, shot: Shot) -> np.ndarray:
    """Light that each visible point sends to the camera [N, 3]."""
    mesh = head_mesh()
    shadow = lit(posed.points, mesh.triangles[mesh.part == SKIN], shot.lamps[0].towards, size=112, bias=0.07)
    hollow = np.clip(1 - 9 * posed.hollow, 0.35, 1.12)
    light = np.stack([occlusion() * hollow, shadow * hollow], axis=1)
    columns = [posed.normals, posed.right, posed.up, light, mesh.rest, mesh.masks, chart_of_mesh()]
    values = seen.of(np.concatenate(columns, axis=1, dtype=np.float32))
    normals, right, up, light, rest, masks, place = np.split(values, [3, 6, 9, 11, 14, 18], axis=1)
    chart = Charts(*sample(list(vars(charts).values()), place))
    painted = paint(Seen(seen.part, rest, place, masks, chart), person, years, shot)
    layer = seen.part == HAIR
    normals[layer] = seen.of(posed.points.astype(np.float32))[layer] * [1, 0.7, 1]  # strands are flat, hair is round
    light[layer] = 0.8
    normals = normals + _BUMP * (painted.slope[:, :1] * right + painted.slope[:, 1:] * up)
    normals /= np.sqrt(np.einsum("nk,nk->n", normals, normals)).clip(1e-9)[:, None]
    surface = Surface(
        colour=painted.colour,
        normals=normals,
        open=light[:, 0],
        lit=light[:, 1],
        gloss=painted.gloss,
        sharpness=painted.sharpness,
        soft=painted.soft,
    )
    return shade(surface, shot.lamps, shot.sky, shot.ground)
