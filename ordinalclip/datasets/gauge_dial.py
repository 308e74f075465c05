"""Drawing a gauge flat and seen from the front, as a picture with transparency around it."""

import math
from collections.abc import Sequence
from functools import cache

from PIL import Image, ImageDraw, ImageFilter, ImageFont

from ordinalclip.datasets.gauge_scene import Colour, Scene

Point = tuple[float, float]
EXTENT = 1.2  # half the canvas, in radii of the scale


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
    for low, high, colour in scene.bands:
        pen.arc(0.99, (low, high), colour, 0.07)
    if scene.ring:
        pen.arc(1.0 if scene.tick_style == "lines" else 0.86, (0, 1), scene.ink, 0.02)
    _draw_ticks(pen, scene)
    _draw_labels(pen, scene)
    _draw_needle_shadow(canvas, pen, scene)
    _draw_needle(pen, scene, scene.needle_colour)
    pen.disc((0, 0), scene.hub, scene.bezel)
    pen.disc((0, 0), scene.hub * 0.55, _shade(scene.bezel, 0.7))
    return canvas


class _Pen:
    """Draws in the scene's coordinates: radii from the pivot, degrees clockwise from 12 o'clock."""

    def __init__(self, draw: ImageDraw.ImageDraw, scene: Scene, size: int) -> None:
        self.draw, self.scene, self.size = draw, scene, size
        # An arc's pivot lies low in its case, and its circle is the larger for it.
        self.unit = size / 2 / EXTENT * (1.3 if scene.shape == "arc" else 1.0)
        self.pivot = (size / 2, size / 2 + (self.unit * 0.52 if scene.shape == "arc" else 0.0))
        self.reach = 0.9 if scene.shape != "arc" else 1.0

    def polar(self, radius: float, degrees: float) -> Point:
        """Canvas point at a distance and an angle."""
        turn = math.radians(degrees)
        x, y = self.pivot
        return x + self.unit * radius * math.sin(turn), y - self.unit * radius * math.cos(turn)

    def disc(self, offset: Point, radius: float, colour: Colour) -> None:
        """A filled disc about the pivot, or beside it."""
        x, y = self.pivot[0] + offset[0] * self.unit, self.pivot[1] + offset[1] * self.unit
        reach = radius * self.unit
        self.draw.ellipse((x - reach, y - reach, x + reach, y + reach), (*colour, 255))

    def arc(self, radius: float, shares: tuple[float, float], colour: Colour, width: float) -> None:
        """A stretch of a circle along the scale."""
        reach, (x, y) = radius * self.reach * self.unit, self.pivot
        ends = sorted(self.scene.at(share) - 90 for share in shares)
        box = (x - reach, y - reach, x + reach, y + reach)
        self.draw.arc(box, ends[0], ends[1], (*colour, 255), max(1, round(width * self.unit)))

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        """A filled polygon of canvas points."""
        self.draw.polygon(points, (*colour, 255))


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


def _draw_needle(pen: _Pen, scene: Scene, colour: Colour) -> None:
    pen.polygon(_needle_points(pen, scene), colour)
    if scene.needle == "lollipop":
        turn, far = math.radians(scene.angle), scene.needle_length * pen.reach * 0.72
        pen.disc((far * math.sin(turn), -far * math.cos(turn)), scene.needle_width * 1.2, colour)


def _draw_needle_shadow(canvas: Image.Image, pen: _Pen, scene: Scene) -> None:
    # Drawn and blurred at half size, which costs little; it falls to the lower right.
    scale = 2
    small = Image.new("L", (pen.size // scale, pen.size // scale))
    shift = pen.unit * 0.045
    points = [((x + shift) / scale, (y + shift) / scale) for x, y in _needle_points(pen, scene)]
    ImageDraw.Draw(small).polygon(points, 150)
    mask = small.filter(ImageFilter.BoxBlur(pen.size / 220)).resize(canvas.size, Image.Resampling.BILINEAR)
    canvas.paste((0, 0, 0, 255), mask=mask)


def _shade(colour: Colour, factor: float) -> Colour:
    red, green, blue = (min(255, round(part * factor)) for part in colour)
    return red, green, blue


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(max(size, 6))
