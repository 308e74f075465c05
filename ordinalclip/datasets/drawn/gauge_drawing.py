"""The dial of a gauge picture: a `Scene` with every choice, sampled before any pixel, and its drawing.

`sample_scene` draws a scene for a reading. `draw_dial` draws it flat and from the front, as an RGBA image that is
transparent outside the case.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Color = tuple[int, int, int]
Point = tuple[float, float]
# Face, ink, needle: legible combinations, as on real instruments.
PALETTES: tuple[tuple[Color, Color, Color], ...] = (
    ((244, 243, 238), (24, 24, 26), (200, 30, 30)),
    ((250, 250, 250), (20, 20, 20), (15, 15, 18)),
    ((236, 228, 205), (52, 36, 22), (60, 30, 20)),
    ((24, 25, 28), (235, 235, 230), (240, 90, 30)),
    ((18, 26, 44), (210, 222, 240), (250, 215, 60)),
    ((34, 40, 36), (190, 230, 180), (235, 240, 230)),
    ((206, 216, 222), (30, 44, 66), (20, 60, 140)),
    ((60, 62, 66), (240, 238, 230), (250, 250, 245)),
    ((232, 240, 230), (28, 60, 44), (190, 40, 60)),
    ((120, 24, 28), (246, 236, 220), (250, 240, 220)),
)
BANDS: tuple[Color, ...] = ((206, 44, 38), (234, 178, 36), (58, 150, 72), (60, 110, 190))
UNITS = ("bar", "psi", "kPa", "V", "A", "mA", "%", "°C", "km/h", "rpm", "MPa", "kW")
EXTENT = 1.2  # half the canvas, in radii of the scale


@dataclass(frozen=True)
class Scene:
    """The parameters of one picture; angles in degrees clockwise from 12 o'clock, lengths in radii of the scale."""

    rank: int
    num_ranks: int
    shape: str  # round | arc | square
    start_angle: float  # of reading 0
    sweep: float  # from reading 0 to the greatest, negative where the scale runs backwards
    face: Color
    ink: Color
    needle_color: Color
    bezel: Color
    bezel_width: float
    tick_style: str  # lines | dots | wedges
    major_step: int  # readings between numbered ticks
    minor_ticks: int  # between two major ones
    ring: bool
    bands: tuple[tuple[float, float, Color], ...]  # colored parts of the scale: from, to (share of the sweep), color
    label_size: float  # 0: no numbers
    unit: str
    marker: float | None  # a limit mark somewhere on the scale (share of the sweep), which is not the reading
    needle: str  # taper | bar | arrow | lollipop
    needle_length: float
    needle_width: float
    tail: float
    hub: float
    turn: float  # rotation of the whole instrument
    tilt: tuple[float, float]  # how far perspective narrows the left-right and top-bottom edges
    center: tuple[float, float]  # in picture widths
    radius: float  # in picture widths

    @property
    def angle(self) -> float:
        """Angle of the needle."""
        return self.at(self.rank / (self.num_ranks - 1))

    def at(self, share: float) -> float:
        """Angle of a share of the sweep."""
        return self.start_angle + share * self.sweep


def sample_scene(rng: np.random.Generator, rank: int, num_ranks: int) -> Scene:
    """Sample the parameters of one scene.

    Args:
        rng: the picture's own generator.
        rank: the reading, 0…num_ranks-1.
        num_ranks: readings of the scale.

    Returns:
        The instrument and its place in the picture; light and noise are sampled by `gauge`.
    """
    shape = str(rng.choice(["round", "arc", "square"], p=[0.5, 0.25, 0.25]))
    label_size = float(rng.uniform(0.15, 0.2)) if rng.random() < 0.85 else 0.0
    start_angle, sweep = _scale(rng, shape, is_labelled=label_size > 0)
    face, ink, needle_color = (_jitter(rng, color) for color in PALETTES[rng.integers(len(PALETTES))])
    radius = float(rng.uniform(0.35, 0.43)) * (1.0 if shape == "round" else 0.94)
    slack = max(0.0, 0.5 - radius * 1.12)
    return Scene(
        rank=rank,
        num_ranks=num_ranks,
        shape=shape,
        start_angle=start_angle,
        sweep=sweep,
        face=face,
        ink=ink,
        needle_color=needle_color,
        bezel=_bezel(rng),
        bezel_width=float(rng.uniform(0.05, 0.13)),
        tick_style=str(rng.choice(["lines", "dots", "wedges"], p=[0.65, 0.15, 0.2])),
        major_step=_major_step(rng, num_ranks, 4 if shape == "arc" else 12),
        minor_ticks=int(rng.choice([0, 1, 4, 4, 9])),
        ring=bool(rng.random() < 0.4),
        bands=_bands(rng),
        label_size=label_size,
        unit=str(rng.choice(UNITS)) if rng.random() < 0.7 else "",
        marker=float(rng.random()) if rng.random() < 0.25 else None,
        needle=str(rng.choice(["taper", "bar", "arrow", "lollipop"], p=[0.45, 0.2, 0.2, 0.15])),
        needle_length=float(rng.uniform(0.68, 0.95)),
        needle_width=float(rng.uniform(0.035, 0.075)),
        tail=float(rng.choice([0.0, 0.12, 0.2, 0.3])) if shape != "arc" else 0.0,
        hub=float(rng.uniform(0.06, 0.14)),
        turn=float(rng.normal(0, 7)),
        tilt=(float(rng.uniform(-0.14, 0.14)), float(rng.uniform(-0.14, 0.14))),
        center=(0.5 + float(rng.uniform(-1, 1)) * slack, 0.5 + float(rng.uniform(-1, 1)) * slack),
        radius=radius,
    )


def _scale(rng: np.random.Generator, shape: str, *, is_labelled: bool) -> tuple[float, float]:
    if shape == "arc":
        half = float(rng.uniform(38, 52))
        start, sweep = -half, 2 * half
    else:
        gap = float(rng.uniform(60, 130))  # between the greatest reading and 0, most often at the bottom
        start, sweep = 180 + gap / 2, 360 - gap
        if rng.random() < 0.2:
            start += float(rng.choice([-90, 90]))
    # That a scale runs backwards is only visible from its numbers.
    return (start + sweep, -sweep) if is_labelled and rng.random() < 0.1 else (start, sweep)


def _major_step(rng: np.random.Generator, num_ranks: int, most: int) -> int:
    greatest = num_ranks - 1
    steps = [step for step in (1, 2, 5, 10, 20, 25, 50) if greatest % step == 0 and 3 <= greatest // step <= most]
    return int(rng.choice(steps)) if steps else max(1, -(-greatest // most))


def _bands(rng: np.random.Generator) -> tuple[tuple[float, float, Color], ...]:
    if rng.random() < 0.6:
        return ()
    edges = np.sort(rng.uniform(0, 1, size=2 * int(rng.integers(1, 3))))
    return tuple(
        (float(low), float(high), BANDS[rng.integers(len(BANDS))])
        for low, high in zip(edges[::2], edges[1::2], strict=True)
        if high - low > 0.05
    )


def _bezel(rng: np.random.Generator) -> Color:
    if rng.random() < 0.25:
        return _jitter(rng, ((150, 30, 30), (30, 60, 120), (200, 160, 40), (40, 90, 60))[rng.integers(4)])
    level = int(rng.choice([26, 60, 120, 180, 215]))
    warm = int(rng.integers(-8, 30)) if level > 100 else 0  # brass to steel
    return _jitter(rng, (level + warm // 2, level, max(0, level - warm)))


def _jitter(rng: np.random.Generator, color: Color) -> Color:
    red, green, blue = np.clip(np.array(color) + rng.integers(-12, 13, size=3), 0, 255).tolist()
    return red, green, blue


def draw_dial(scene: Scene, size: int) -> Image.Image:
    """Draw the instrument.

    Args:
        scene: what to draw.
        size: edge of the canvas in pixels.

    Returns:
        An RGBA image [size, size], transparent outside of the case.
    """
    canvas = Image.new("RGBA", (size, size), (*scene.bezel, 0))
    pen = _Pen(ImageDraw.Draw(canvas), scene, size)
    _draw_case(pen, scene)
    for low, high, color in scene.bands:
        pen.arc(0.99, (low, high), color, 0.07)
    if scene.ring:
        pen.arc(1.0 if scene.tick_style == "lines" else 0.86, (0, 1), scene.ink, 0.02)
    _draw_ticks(pen, scene)
    _draw_labels(pen, scene)
    _draw_needle_shadow(canvas, pen, scene)
    _draw_needle(pen, scene, scene.needle_color)
    pen.disc((0, 0), scene.hub, scene.bezel)
    pen.disc((0, 0), scene.hub * 0.55, _shade(scene.bezel, 0.7))
    return canvas


class _Pen:
    """Draws in the scene's coordinates: radii from the pivot, degrees clockwise from 12 o'clock."""

    def __init__(self, draw: ImageDraw.ImageDraw, scene: Scene, size: int) -> None:
        self.draw, self.scene, self.size = draw, scene, size
        # The pivot of an arc is low in the case, so its circle is larger.
        self.unit = size / 2 / EXTENT * (1.3 if scene.shape == "arc" else 1.0)
        self.pivot = (size / 2, size / 2 + (self.unit * 0.52 if scene.shape == "arc" else 0.0))
        self.reach = 0.9 if scene.shape != "arc" else 1.0

    def polar(self, radius: float, degrees: float) -> Point:
        """Canvas point at a distance and an angle."""
        turn = math.radians(degrees)
        x, y = self.pivot
        return x + self.unit * radius * math.sin(turn), y - self.unit * radius * math.cos(turn)

    def disc(self, offset: Point, radius: float, color: Color) -> None:
        """A filled disc about the pivot, or beside it."""
        x, y = self.pivot[0] + offset[0] * self.unit, self.pivot[1] + offset[1] * self.unit
        reach = radius * self.unit
        self.draw.ellipse((x - reach, y - reach, x + reach, y + reach), (*color, 255))

    def arc(self, radius: float, shares: tuple[float, float], color: Color, width: float) -> None:
        """A part of a circle along the scale."""
        reach, (x, y) = radius * self.reach * self.unit, self.pivot
        ends = sorted(self.scene.at(share) - 90 for share in shares)
        box = (x - reach, y - reach, x + reach, y + reach)
        self.draw.arc(box, ends[0], ends[1], (*color, 255), max(1, round(width * self.unit)))

    def polygon(self, points: Sequence[Point], color: Color) -> None:
        """A filled polygon of canvas points."""
        self.draw.polygon(points, (*color, 255))


def _draw_case(pen: _Pen, scene: Scene) -> None:
    size, margin = pen.size, pen.size * 0.02
    rim = scene.bezel_width * size / 2
    outer, inner = (margin, margin, size - margin, size - margin), (margin + rim, margin + rim)
    box = (*inner, size - margin - rim, size - margin - rim)
    light = _shade(scene.bezel, 1.35)
    if scene.shape == "round":
        pen.draw.ellipse(outer, (*_shade(scene.bezel, 0.75), 255))
        pen.draw.ellipse(
            tuple(edge + rim * 0.3 * sign for edge, sign in zip(outer, (1, 1, -1, -1), strict=True)), light
        )
        pen.draw.ellipse(box, (*scene.face, 255))
        return
    if scene.shape == "arc":  # broader than high
        cut = size * 0.14
        outer = (outer[0], outer[1] + cut, outer[2], outer[3] - cut)
        box = (box[0], box[1] + cut, box[2], box[3] - cut)
    pen.draw.rounded_rectangle(outer, size * 0.07, (*_shade(scene.bezel, 0.75), 255))
    inset = tuple(edge + rim * 0.3 * sign for edge, sign in zip(outer, (1, 1, -1, -1), strict=True))
    pen.draw.rounded_rectangle(inset, size * 0.06, light)
    pen.draw.rounded_rectangle(box, size * 0.04, (*scene.face, 255))


def _draw_ticks(pen: _Pen, scene: Scene) -> None:
    greatest = scene.num_ranks - 1
    between = scene.minor_ticks + 1
    step = scene.major_step / between
    for index in range(math.floor(greatest / step + 1e-9) + 1):
        degrees = scene.at(index * step / greatest)
        is_major = index % between == 0
        outer, inner = 0.98 * pen.reach, (0.84 if is_major else 0.91) * pen.reach
        if scene.tick_style == "dots":
            turn = math.radians(degrees)
            offset = (0.93 * pen.reach * math.sin(turn), -0.93 * pen.reach * math.cos(turn))
            pen.disc(offset, 0.034 if is_major else 0.016, scene.ink)
        elif scene.tick_style == "wedges" and is_major:
            corners = [pen.polar(inner, degrees), pen.polar(outer, degrees - 2.2), pen.polar(outer, degrees + 2.2)]
            pen.polygon(corners, scene.ink)
        else:
            width = max(1, round(pen.unit * (0.034 if is_major else 0.014)))
            pen.draw.line([pen.polar(inner, degrees), pen.polar(outer, degrees)], (*scene.ink, 255), width)
    if scene.marker is not None:
        degrees = scene.at(scene.marker)
        corners = [
            pen.polar(0.9 * pen.reach, degrees),
            *(pen.polar(1.04 * pen.reach, degrees + side) for side in (-4, 4)),
        ]
        pen.polygon(corners, (214, 40, 36))


def _draw_labels(pen: _Pen, scene: Scene) -> None:
    if scene.unit:
        # In the gap between the greatest reading and 0, or above an arc's pivot.
        place = pen.polar(0.42, 0.0) if scene.shape == "arc" else pen.polar(0.5, scene.at(0.5) + 180)
        pen.draw.text(place, scene.unit, (*scene.ink, 255), _font(round(pen.unit * 0.17)), "mm")
    if scene.label_size == 0:
        return
    font = _font(round(pen.unit * scene.label_size))
    greatest = scene.num_ranks - 1
    for reading in range(0, greatest + 1, scene.major_step):
        place = pen.polar(0.68 * pen.reach, scene.at(reading / greatest))
        pen.draw.text(place, str(reading), (*scene.ink, 255), font, "mm")


def _needle_points(pen: _Pen, scene: Scene) -> list[Point]:
    """Outline of the needle about its pivot, clockwise."""
    length, half, degrees = scene.needle_length * pen.reach, scene.needle_width / 2, scene.angle
    outline = {
        "taper": [(-scene.tail, half), (0.0, half), (length, 0.004)],
        "bar": [(-scene.tail, half * 0.6), (length - 0.08, half * 0.6), (length, 0.0)],
        "arrow": [(-scene.tail, half * 0.4), (length - 0.2, half * 0.4), (length - 0.22, half * 1.7), (length, 0.0)],
        "lollipop": [(-scene.tail, half * 0.5), (length, half * 0.3)],
    }[scene.needle]
    turn = math.radians(degrees)
    along, across = (math.sin(turn), -math.cos(turn)), (math.cos(turn), math.sin(turn))
    x, y = pen.pivot
    sides = [(far, side) for far, side in outline] + [(far, -side) for far, side in reversed(outline)]
    return [
        (x + pen.unit * (far * along[0] + side * across[0]), y + pen.unit * (far * along[1] + side * across[1]))
        for far, side in sides
    ]


def _draw_needle(pen: _Pen, scene: Scene, color: Color) -> None:
    pen.polygon(_needle_points(pen, scene), color)
    if scene.needle == "lollipop":
        turn, far = math.radians(scene.angle), scene.needle_length * pen.reach * 0.72
        pen.disc((far * math.sin(turn), -far * math.cos(turn)), scene.needle_width * 1.2, color)


def _draw_needle_shadow(canvas: Image.Image, pen: _Pen, scene: Scene) -> None:
    # Drawn and blurred at half size, which costs little; it falls to the lower right.
    scale = 2
    small = Image.new("L", (pen.size // scale, pen.size // scale))
    shift = pen.unit * 0.045
    points = [((x + shift) / scale, (y + shift) / scale) for x, y in _needle_points(pen, scene)]
    ImageDraw.Draw(small).polygon(points, 150)
    mask = small.filter(ImageFilter.BoxBlur(pen.size / 220)).resize(canvas.size, Image.Resampling.BILINEAR)
    canvas.paste((0, 0, 0, 255), mask=mask)


def _shade(color: Color, factor: float) -> Color:
    red, green, blue = (min(255, round(part * factor)) for part in color)
    return red, green, blue


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(max(size, 6))
