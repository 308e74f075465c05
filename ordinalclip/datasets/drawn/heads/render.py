"""From a seed to a picture of a head: person, shot, shape, pose, layers, light, backdrop and camera.

`python -m ordinalclip.datasets.drawn.heads.render docs/heads.png` draws the contact sheet in docs/.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from ordinalclip.datasets.drawn.heads.assets import HAIR, MASKS, SKIN, head_mesh
from ordinalclip.datasets.drawn.heads.chart import Posed, chart_of_mesh, pose, sample
from ordinalclip.datasets.drawn.heads.paint import Seen, Surface, interpolate, lit, occlusion, paint, rasterize, shade
from ordinalclip.datasets.drawn.heads.person import OLDEST, YOUNGEST, Person, Series, ramp, shape
from ordinalclip.datasets.drawn.heads.shot import Shot, sample_shot
from ordinalclip.datasets.drawn.heads.skin import HAIR_THICKNESS, Charts, draw_charts, is_in_layer

SUPERSAMPLING = 2
_BUMP = np.float32(1.7)
GAP = 2
SUBJECTS = (1, 8, 11, 4, 12, 5)
AGES = (1, 5, 10, 16, 22, 30, 40, 50, 60, 70, 80, 90)


def render_head(series: Series, subject: int, image: int, size: int) -> Image.Image:
    """Render one picture of a series.

    Args:
        series: persons and ages.
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


def _with_hair(points: np.ndarray, scalp: np.ndarray, person: Person, years: float, shot: Shot) -> np.ndarray:
    """Lift the scalp by the thickness of its hair."""
    mesh = head_mesh()
    cover = sample([scalp], chart_of_mesh())[0] * (1 - mesh.masks[:, MASKS.index("ears")]) * mesh.is_skin
    thickness = HAIR_THICKNESS[person.hair_style] * shot.hair_length * ramp(years, -2, 8)
    return points + mesh.normals(points) * (cover * thickness)[:, None]


@dataclass(frozen=True, eq=False)
class _Visible:
    """The visible triangles at N pixels: corners and their weights, [N, 3] each."""

    pixel: np.ndarray
    corners: np.ndarray
    weights: np.ndarray
    part: np.ndarray

    def of(self, values: np.ndarray) -> np.ndarray:
        """Values of vertices [V, C] at the pixels [N, C]."""
        return interpolate(values, self.corners, self.weights)


def _visible(posed: Posed, person: Person, years: float, shot: Shot, edge: int) -> _Visible:
    mesh = head_mesh()
    x, y = posed.screen.T
    first, second, third = mesh.triangles.T
    # On the screen y points down, so what faces the camera runs clockwise there.
    facing = (x[second] - x[first]) * (y[third] - y[first]) - (x[third] - x[first]) * (y[second] - y[first]) < 0
    solid = np.flatnonzero(facing & (mesh.part != HAIR))
    fragments = rasterize(posed.screen, posed.depth, mesh.triangles[solid], edge, edge)
    owner = solid[fragments.triangle]
    weights = fragments.weights.astype(np.float32)
    seen = _Visible(fragments.pixel, mesh.triangles[owner], weights, mesh.part[owner])
    if person.hair_style != "long" or years < 4:
        return seen
    return _with_long_hair(seen, posed, person, years, edge)


def _with_long_hair(seen: _Visible, posed: Posed, person: Person, years: float, edge: int) -> _Visible:
    """Add the layer of long hair, with an opening for the face."""
    mesh = head_mesh()
    strands = np.flatnonzero(mesh.part == HAIR)
    fragments = rasterize(posed.screen, posed.depth, mesh.triangles[strands], edge, edge)
    corners = mesh.triangles[strands[fragments.triangle]]
    weights = fragments.weights.astype(np.float32)
    layer = _Visible(fragments.pixel, corners, weights, np.full(len(corners), HAIR))
    kept = is_in_layer(person, layer.of(chart_of_mesh()))
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
        color=painted.color,
        normals=normals,
        open=light[:, 0],
        lit=light[:, 1],
        gloss=painted.gloss,
        sharpness=painted.sharpness,
        soft=painted.soft,
    )
    return shade(surface, shot.lamps, shot.sky, shot.ground)


def backdrop(rng: np.random.Generator, size: int) -> np.ndarray:
    """A wall, a room out of focus or the open air, linear light [size, size, 3]."""
    base = rng.uniform(25, 215) + rng.normal(0, 12, size=3)
    cells = int(rng.integers(2, 7))
    coarse = base + rng.normal(0, rng.uniform(3, 26), size=(cells, cells, 1)) + rng.normal(0, 5, size=(cells, cells, 3))
    picture = Image.fromarray(np.clip(coarse, 0, 255).astype(np.uint8)).resize((size, size), Image.Resampling.BICUBIC)
    if rng.random() < 0.55:  # things behind
        draw = ImageDraw.Draw(picture)
        for _ in range(int(rng.integers(2, 9))):
            left, top = rng.uniform(-0.2, 1, size=2) * size
            across, down = rng.uniform(0.05, 0.6, size=2) * size
            color = tuple(np.clip(base + rng.normal(0, 38) + rng.normal(0, 14, size=3), 0, 255).astype(int).tolist())
            box = (left, top, left + across, top + down)
            if rng.random() < 0.6:
                draw.rectangle(box, fill=color)
            else:
                draw.ellipse(box, fill=color)
        picture = picture.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.004, 0.05)) * size))
    return (np.asarray(picture, dtype=np.float32) / 255) ** np.float32(2.2)


def photograph(rng: np.random.Generator, light: np.ndarray, covered: np.ndarray) -> Image.Image:
    """Exposure by the brightness of the head, gamma, blur and noise.

    Args:
        rng: the picture's own generator.
        light: linear, at twice the picture's size [2S, 2S, 3].
        covered: which of it is the head [2S, 2S].

    Returns:
        An RGB image [S, S].
    """
    middle = float(light[covered].mean()) if covered.any() else 0.2
    # Auto exposure makes dark faces brighter, but not as bright as pale ones.
    exposure = (0.26 / max(middle, 1e-3)) ** 0.6 * rng.uniform(0.75, 1.35)
    light = np.where(covered[..., None], light * exposure, light * rng.uniform(0.8, 1.2))
    half = light.shape[0] // 2
    small = light.reshape(half, 2, half, 2, 3).mean(axis=(1, 3))
    small = small / (1 + 0.25 * small**2)  # highlights roll off
    pixels = 255 * small.clip(0, 1) ** (1 / 2.2)
    picture = Image.fromarray(pixels.round().astype(np.uint8))
    blur = rng.uniform(0, 0.007) * half if rng.random() < 0.4 else 0.0
    if blur > 0.25:
        picture = picture.filter(ImageFilter.GaussianBlur(blur))
    grain = rng.standard_normal((half, half, 3), dtype=np.float32) * rng.uniform(0.5, 5)
    return Image.fromarray(np.clip(np.asarray(picture) + grain, 0, 255).round().astype(np.uint8))


def contact_sheet(subjects: Sequence[int], ages: Sequence[int], *, size: int, seed: int = 0) -> Image.Image:
    """A person a row, a column an age; pose, light and background differ from picture to picture.

    Args:
        subjects: numbers of the persons, from top to bottom.
        ages: in years, from left to right.
        size: edge of a picture in pixels.
        seed: of the series of persons.

    Returns:
        An RGB image.
    """
    pitch = size + GAP
    sheet = Image.new("RGB", (len(ages) * pitch + GAP, len(subjects) * pitch + GAP), "white")
    series = Series(seed, (YOUNGEST, OLDEST), OLDEST)
    for row, subject in enumerate(subjects):
        person = series.person(subject)
        for column, years in enumerate(ages):
            rng = np.random.default_rng((seed, 2, subject, column))
            head = picture(rng, person, years, sample_shot(rng, person), size)
            sheet.paste(head, (GAP + column * pitch, GAP + row * pitch))
    return sheet


if __name__ == "__main__":
    # 256 colors keep the file small.
    contact_sheet(SUBJECTS, AGES, size=96).quantize(256).save(Path(sys.argv[1]), optimize=True)
