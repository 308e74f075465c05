"""The ranks as an axis: which of them are labelled, what the labels are, what the axis is called."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NAME_WIDTH, _NAME_LINES = 16, 2
_FITS_BELOW = 15  # characters, about, in an inch of 8 points
_ONE_LINE = 18  # letters of a name that must not be folded
_TURNED_APART = 0.19  # inches between such names, so that none touches the next
_LINE, _LETTER = 0.14, 0.067  # inches: height of a line of 8 points, width of a wide letter
_MOST_LABELS = 11


@dataclass(frozen=True)
class Scale:
    """Names of the R ranks, and the unit of their values.

    Attributes:
        names: one a rank.
        unit: of the values, such as "year"; shown where the names are numbers.
    """

    names: Sequence[str]
    unit: str = ""

    def __len__(self) -> int:
        return len(self.names)

    def label(self, what: str) -> str:
        """`what` with the unit behind it, where the ranks' names are numbers: "true rank (year)"."""
        return f"{what} ({self.unit})" if self.unit and all(map(_is_number, self.names)) else what

    def places(self, most: int = _MOST_LABELS) -> list[int]:
        """Ranks to label: all while they are few, else every 2nd, 5th, 10th, … from the first one on."""
        steps = (digit * 10**power for power in range(9) for digit in (1, 2, 5))
        step = next(step for step in steps if (len(self) - 1) // step < most)
        return list(range(0, len(self), step))

    def short(self, rank: int) -> str:
        """A rank's name, folded and cut to what fits beside an axis."""
        lines = textwrap.wrap(
            self.names[rank], _NAME_WIDTH, max_lines=_NAME_LINES, placeholder="…", break_on_hyphens=False
        )
        return "\n".join(lines)

    def along_x(self, panel: Axes, what: str, *, inches: float, most: int = _MOST_LABELS, beside: bool = False) -> None:
        """Labels a horizontal axis of ranks.

        Args:
            panel: with that axis.
            what: the axis is called.
            inches: its length.
            most: labels.
            beside: another panel stands at its left: names that are turned stand upright, to stay below their own.
        """
        places, names, turned = self._below(inches, most)
        panel.set_xticks(places, names, parse_math=False)  # a `$` in a name is money, not mathematics
        if turned:
            for label in panel.get_xticklabels():
                angle, across = (90, "center") if beside else (45, "center_baseline")
                label.set(rotation=angle, ha="right", va=across, rotation_mode="anchor")
        panel.set_xlabel(self.label(what))

    def height_below(self, *, inches: float, most: int = _MOST_LABELS) -> float:
        """Inches, about, that names below an axis `beside` another take: room that its figure has to have."""
        _, names, turned = self._below(inches, most)
        if turned:
            return max(map(len, names)) * _LETTER
        return _LINE * max(len(name.splitlines()) for name in names)

    def _below(self, inches: float, most: int) -> tuple[list[int], list[str], bool]:
        """Which ranks are named below an axis, how, and whether the names are turned: side by side they don't fit."""
        # Fewer numbers say as much; of names none is left out before they are turned.
        for number in range(most, 1, -1) if all(map(_is_number, self.names)) else [most]:
            places = self.places(number)
            names = [self.short(place) for place in places]
            if sum(max(map(len, name.splitlines()), default=0) + 1 for name in names) <= _FITS_BELOW * inches:
                return places, names, False
        places = self.places(max(2, min(most, int(inches / _TURNED_APART))))
        return places, [cut(self.names[place]) for place in places], True

    def along_y(self, panel: Axes, what: str, *, most: int = _MOST_LABELS) -> None:
        """Labels a vertical axis of ranks."""
        places = self.places(most)
        panel.set_yticks(places, [self.short(place) for place in places], parse_math=False)
        panel.set_ylabel(self.label(what))


def cut(name: str, width: int = _ONE_LINE) -> str:
    """A name on one line, of so many letters at most."""
    return name if len(name) <= width else f"{name[: width - 1].rstrip()}…"


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True
