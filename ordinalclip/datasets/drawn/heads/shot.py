"""A shot: pose, expression, clothes, camera, and light of one picture of a person."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ordinalclip.datasets.drawn.heads.person import Person

Color = tuple[float, float, float]
Direction = tuple[float, float, float]


@dataclass(frozen=True)
class Lamp:
    """A far light.

    Args:
        towards: unit vector from the head to it; x to the right of the picture, y up, z to the camera.
        color: its strength in linear light.
        shadow: whether the head casts a shadow on itself.
    """

    towards: Direction
    color: Color
    shadow: bool


@dataclass(frozen=True)
class Shot:
    """The parameters that differ between pictures of a person, besides age.

    Args:
        yaw: of the head against the camera, in radians, to the picture's right.
        pitch: upwards.
        roll: clockwise.
        torso: yaw of the shoulders.
        expression: targets of the face, by name.
        gaze: where the eyes look, right and up in radians.
        distance: of the camera, in decimeters.
        fill: height of the head by that of the picture.
        center: of the head in the picture, in shares of its edge.
        lamps: the key light first.
        sky: ambient light from above, linear.
        ground: ambient light from below, linear.
        cloth: color of the clothes, linear.
        neckline: how far from the neck's axis they begin, in decimeters of the base mesh.
        stubble: days since shaving, 0…1.
        hair_length: how thick the hair lies, about 1.
    """

    yaw: float
    pitch: float
    roll: float
    torso: float
    expression: Mapping[str, float]
    gaze: tuple[float, float]
    distance: float
    fill: float
    center: tuple[float, float]
    lamps: tuple[Lamp, ...]
    sky: Color
    ground: Color
    cloth: Color
    neckline: float
    stubble: float
    hair_length: float


def sample_shot(rng: np.random.Generator, person: Person) -> Shot:
    """Sample the parameters of a shot."""
    yaw = float(np.clip(rng.normal(0, 0.3), -0.85, 0.85))
    turn, rise = rng.uniform(-1.2, 1.2), rng.uniform(0.1, 1.0)
    warm = rng.uniform(-0.08, 0.14)
    tint = np.array([1 + warm, 1.0, 1 - warm])
    strength = rng.uniform(0.55, 1.5)
    lamps = [Lamp(_towards(turn, rise), _color(tint * strength), True)]
    if rng.random() < 0.7:
        side = -np.sign(turn) * rng.uniform(0.4, 1.4)
        lamps.append(Lamp(_towards(side, rng.uniform(-0.1, 0.7)), _color(np.ones(3) * rng.uniform(0.1, 0.5)), False))
    if rng.random() < 0.4:  # from behind, along the edge of hair and cheek
        behind = rng.choice([-1, 1]) * rng.uniform(2.1, 2.7)
        tint = 1 + rng.normal(0, 0.1, size=3)
        lamps.append(Lamp(_towards(behind, rng.uniform(0.1, 0.8)), _color(tint * rng.uniform(0.3, 1.0)), False))
    ambient = rng.uniform(0.22, 0.6)
    return Shot(
        yaw=yaw,
        pitch=float(np.clip(rng.normal(0, 0.13), -0.35, 0.35)),
        roll=float(rng.normal(0, 0.07)),
        torso=yaw * float(rng.uniform(0.1, 0.7)) + float(rng.normal(0, 0.12)),
        expression=_expression(rng, person.ancestry),
        gaze=(float(rng.normal(-yaw * 0.25, 0.12)), float(rng.normal(0, 0.07))),
        distance=float(rng.uniform(7, 16)),
        fill=float(rng.uniform(0.68, 0.84)),
        center=(0.5 + float(rng.normal(0, 0.025)), 0.49 + float(rng.normal(0, 0.025))),
        lamps=tuple(lamps),
        sky=_color(ambient * (1 + rng.normal(0, 0.05, size=3) + np.array([-0.03, 0, 0.05]))),
        ground=_color(ambient * rng.uniform(0.3, 0.7) * (1 + rng.normal(0, 0.05, size=3) + np.array([0.05, 0, -0.05]))),
        cloth=_color(rng.uniform(0.02, 0.75) * (0.35 + rng.uniform(0, 1, size=3))),
        neckline=float(rng.uniform(0.62, 1.0)),
        stubble=float(rng.uniform(0, 1)) ** 2,
        hair_length=float(rng.uniform(0.7, 1.3)),
    )


def _expression(rng: np.random.Generator, ancestry: str) -> dict[str, float]:
    units = f"expression/units/{ancestry}/"
    look = {}
    if rng.random() < 0.5:
        smile = float(rng.uniform(0.1, 0.7))
        look[units + "mouth-corner-puller"] = smile
        look[units + "mouth-part-later"] = smile * float(rng.choice([0, 0, 0.5]))
    elif rng.random() < 0.2:
        look[units + "mouth-open"] = float(rng.uniform(0.05, 0.3))
    lids, brows = float(rng.uniform(0, 0.3)), float(rng.normal(0, 0.25))
    for side in ("left", "right"):
        look[f"{units}eye-{side}-closure"] = lids
        look[f"{units}eyebrows-{side}-{'up' if brows > 0 else 'down'}"] = abs(brows)
    return look


def _towards(turn: float, rise: float) -> Direction:
    """Unit vector from an angle to the picture's right and one upwards."""
    return float(np.sin(turn) * np.cos(rise)), float(np.sin(rise)), float(np.cos(turn) * np.cos(rise))


def _color(values: np.ndarray) -> Color:
    red, green, blue = np.maximum(values, 0.0).tolist()
    return red, green, blue
