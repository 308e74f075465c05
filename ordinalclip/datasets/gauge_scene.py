"""What is drawn for one gauge picture: every choice, sampled, before any pixel."""

from dataclasses import dataclass

import numpy as np

Colour = tuple[int, int, int]

# Face, ink, needle: pairs that a maker of instruments would sell, legible but not all alike.
PALETTES: tuple[tuple[Colour, Colour, Colour], ...] = (
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
BANDS: tuple[Colour, ...] = ((206, 44, 38), (234, 178, 36), (58, 150, 72), (60, 110, 190))
UNITS = ("bar", "psi", "kPa", "V", "A", "mA", "%", "°C", "km/h", "rpm", "MPa", "kW")


@dataclass(frozen=True)
class Scene:
    """One picture's choices; angles in degrees, clockwise from 12 o'clock, lengths in radii of the scale's circle."""

    rank: int
    num_ranks: int
    shape: str  # round | arc | square
    start_angle: float  # of reading 0
    sweep: float  # from reading 0 to the greatest, negative where the scale runs backwards
    face: Colour
    ink: Colour
    needle_colour: Colour
    bezel: Colour
    bezel_width: float
    tick_style: str  # lines | dots | wedges
    major_step: int  # readings between numbered ticks
    minor_ticks: int  # between two major ones
    ring: bool
    bands: tuple[tuple[float, float, Colour], ...]  # coloured stretches: from, to (share of the sweep), colour
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
    centre: tuple[float, float]  # in picture widths
    radius: float  # in picture widths

    @property
    def angle(self) -> float:
        """Where the needle points."""
        return self.at(self.rank / (self.num_ranks - 1))

    def at(self, share: float) -> float:
        """Angle of a share of the sweep."""
        return self.start_angle + share * self.sweep


def sample_scene(rng: np.random.Generator, rank: int, num_ranks: int) -> Scene:
    """Draw one scene.

    Args:
        rng: the picture's own source.
        rank: the reading, 0…num_ranks-1.
        num_ranks: readings of the scale.

    Returns:
        Everything about the instrument and where it hangs; light and noise are the camera's.
    """
    shape = str(rng.choice(["round", "arc", "square"], p=[0.5, 0.25, 0.25]))
    label_size = float(rng.uniform(0.15, 0.2)) if rng.random() < 0.85 else 0.0
    start_angle, sweep = _scale(rng, shape, is_labelled=label_size > 0)
    face, ink, needle_colour = (_jitter(rng, colour) for colour in PALETTES[rng.integers(len(PALETTES))])
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
        needle_colour=needle_colour,
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
        centre=(0.5 + float(rng.uniform(-1, 1)) * slack, 0.5 + float(rng.uniform(-1, 1)) * slack),
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
    # Only numbers can tell that a scale runs backwards.
    return (start + sweep, -sweep) if is_labelled and rng.random() < 0.1 else (start, sweep)


def _major_step(rng: np.random.Generator, num_ranks: int, most: int) -> int:
    greatest = num_ranks - 1
    steps = [step for step in (1, 2, 5, 10, 20, 25, 50) if greatest % step == 0 and 3 <= greatest // step <= most]
    return int(rng.choice(steps)) if steps else max(1, -(-greatest // most))


def _bands(rng: np.random.Generator) -> tuple[tuple[float, float, Colour], ...]:
    if rng.random() < 0.6:
        return ()
    edges = np.sort(rng.uniform(0, 1, size=2 * int(rng.integers(1, 3))))
    return tuple(
        (float(low), float(high), BANDS[rng.integers(len(BANDS))])
        for low, high in zip(edges[::2], edges[1::2], strict=True)
        if high - low > 0.05
    )


def _bezel(rng: np.random.Generator) -> Colour:
    if rng.random() < 0.25:
        return _jitter(rng, ((150, 30, 30), (30, 60, 120), (200, 160, 40), (40, 90, 60))[rng.integers(4)])
    level = int(rng.choice([26, 60, 120, 180, 215]))
    warm = int(rng.integers(-8, 30)) if level > 100 else 0  # brass to steel
    return _jitter(rng, (level + warm // 2, level, max(0, level - warm)))


def _jitter(rng: np.random.Generator, colour: Colour) -> Colour:
    red, green, blue = np.clip(np.array(colour) + rng.integers(-12, 13, size=3), 0, 255).tolist()
    return red, green, blue
