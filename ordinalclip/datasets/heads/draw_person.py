"""Drawing persons: which traits go together, and how often."""

import numpy as np

from ordinalclip.datasets.heads.person import AGEING, SEXES, Colour, Person, both_sides
from ordinalclip.datasets.heads.shape import ANCESTRIES

# Opposite targets that make people differ: (towards -1, towards +1). "{side}" is both sides alike.
_FEATURES = (
    ("head/head-round", "head/head-rectangular"),
    ("head/head-oval", "head/head-square"),
    ("head/head-triangular", "head/head-invertedtriangular"),
    ("head/head-scale-depth-decr", "head/head-scale-depth-incr"),
    ("head/head-scale-horiz-decr", "head/head-scale-horiz-incr"),
    ("forehead/forehead-scale-vert-decr", "forehead/forehead-scale-vert-incr"),
    ("forehead/forehead-trans-backward", "forehead/forehead-trans-forward"),
    ("eyebrows/eyebrows-angle-down", "eyebrows/eyebrows-angle-up"),
    ("eyebrows/eyebrows-trans-down", "eyebrows/eyebrows-trans-up"),
    ("eyes/{side}-eye-corner2-down", "eyes/{side}-eye-corner2-up"),
    ("eyes/{side}-eye-height2-decr", "eyes/{side}-eye-height2-incr"),
    ("eyes/{side}-eye-scale-decr", "eyes/{side}-eye-scale-incr"),
    ("eyes/{side}-eye-trans-in", "eyes/{side}-eye-trans-out"),
    ("nose/nose-curve-concave", "nose/nose-curve-convex"),
    ("nose/nose-hump-decr", "nose/nose-hump-incr"),
    ("nose/nose-point-down", "nose/nose-point-up"),
    ("nose/nose-scale-horiz-decr", "nose/nose-scale-horiz-incr"),
    ("nose/nose-scale-vert-decr", "nose/nose-scale-vert-incr"),
    ("nose/nose-scale-depth-decr", "nose/nose-scale-depth-incr"),
    ("mouth/mouth-scale-horiz-decr", "mouth/mouth-scale-horiz-incr"),
    ("mouth/mouth-lowerlip-height-decr", "mouth/mouth-lowerlip-height-incr"),
    ("mouth/mouth-upperlip-height-decr", "mouth/mouth-upperlip-height-incr"),
    ("mouth/mouth-trans-down", "mouth/mouth-trans-up"),
    ("chin/chin-width-decr", "chin/chin-width-incr"),
    ("chin/chin-prominent-decr", "chin/chin-prominent-incr"),
    ("chin/chin-height-decr", "chin/chin-height-incr"),
    ("cheek/{side}-cheek-bones-decr", "cheek/{side}-cheek-bones-incr"),
    ("cheek/{side}-cheek-volume-decr", "cheek/{side}-cheek-volume-incr"),
    ("ears/{side}-ear-scale-decr", "ears/{side}-ear-scale-incr"),
    ("ears/{side}-ear-wing-decr", "ears/{side}-ear-wing-incr"),
)
_HAIR = ((12, 9, 8), (32, 20, 14), (66, 42, 26), (112, 78, 46), (176, 138, 84), (128, 60, 28))
_HAIR_SHARES = {
    "african": (0.8, 0.2, 0, 0, 0, 0),
    "asian": (0.7, 0.27, 0.03, 0, 0, 0),
    "caucasian": (0.06, 0.24, 0.28, 0.22, 0.14, 0.06),
}
_EYES = ((38, 20, 10), (74, 42, 20), (96, 84, 48), (78, 106, 128), (110, 122, 126))


def sample_person(rng: np.random.Generator) -> Person:
    """Draw a person."""
    sex = SEXES[rng.integers(2)]
    ancestry = ANCESTRIES[rng.integers(3)]
    main = rng.uniform(0.7, 1.0)
    rest = rng.uniform(0, 1)
    others = iter(((1 - main) * rest, (1 - main) * (1 - rest)))
    african, asian, caucasian = (float(main if name == ancestry else next(others)) for name in ANCESTRIES)
    features = {}
    for low, high in _FEATURES:
        share = float(np.clip(rng.normal(0, 0.32), -0.8, 0.8))
        for name in both_sides(low if share < 0 else high):
            features[name] = abs(share)
    style = {"female": (0.04, 0.16, 0.3, 0.5), "male": (0.25, 0.5, 0.2, 0.05)}[sex]
    return Person(
        sex=sex,
        ancestry=ancestry,
        male=float(rng.uniform(0.85, 1) if sex == "male" else rng.uniform(0, 0.15)),
        mixture=(african, asian, caucasian),
        muscle=float(np.clip(rng.normal(0.5, 0.16), 0, 1)),
        weight=float(np.clip(rng.normal(0.48, 0.17), 0, 1)),
        gain=float(rng.normal(0.1, 0.12)),
        features=features,
        prone=float(np.clip(rng.normal(1, 0.22), 0.5, 1.5)),
        ageing=tuple(np.clip(rng.normal(1, 0.4, size=len(AGEING)), 0, 2).tolist()),
        melanin=float(np.clip(african * 0.78 + asian * 0.3 + caucasian * 0.14 + rng.normal(0, 0.09), 0, 1)),
        ruddy=float(rng.uniform(0, 1)),
        eyes=_jitter(rng, _EYES[rng.choice(5, p=_eye_shares(caucasian))]),
        hair=_jitter(rng, _HAIR[rng.choice(6, p=_HAIR_SHARES[ancestry])]),
        brow=float(rng.uniform(0.7, 1.3)) * (1.2 if sex == "male" else 0.85),
        hair_style=str(rng.choice(["cropped", "short", "full", "long"], p=style)),
        hair_wave=float(rng.uniform(0, 1)),
        grey_from=float(np.clip(rng.normal(45, 8), 28, 70)),
        bald_from=float(rng.uniform(24, 55)) if sex == "male" and rng.random() < 0.5 else float(rng.uniform(60, 85)),
        bald=float(rng.uniform(0.15, 1.0)) if sex == "male" else float(rng.uniform(0.0, 0.25)),
        beard=float(rng.choice([0.0, 0.0, 0.35, 1.0], p=[0.3, 0.25, 0.25, 0.2])) if sex == "male" else 0.0,
        lines=int(rng.integers(1 << 31)),
    )


def _eye_shares(caucasian: float) -> np.ndarray:
    light = max(0.0, caucasian - 0.4)
    shares = np.array([1.0 - light, 0.8 - light * 0.6, 0.7 * light, 0.9 * light, 0.5 * light])
    return shares / shares.sum()


def _jitter(rng: np.random.Generator, colour: tuple[int, int, int]) -> Colour:
    red, green, blue = np.clip(np.array(colour) * rng.uniform(0.85, 1.15) + rng.normal(0, 3, size=3), 2, 255).tolist()
    return red, green, blue
