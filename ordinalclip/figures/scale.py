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

    def along_x(self, panel: Axes, what: str, *, inches: float, most: int = _MOST_LABELS) -> None:
        """Labels a horizontal axis of ranks that is so many inches long."""
        places = self.places(most)
        names = [self.short(place) for place in places]
        panel.set_xticks(places, names, parse_math=False)  # a `$` in a name is money, not mathematics
        if sum(max(map(len, name.splitlines()), default=0) + 1 for name in names) > _FITS_BELOW * inches:
            for label in panel.get_xticklabels():
                label.set(rotation=45, ha="right", rotation_mode="anchor")
        panel.set_xlabel(self.label(what))

    def along_y(self, panel: Axes, what: str, *, most: int = _MOST_LABELS) -> None:
        """Labels a vertical axis of ranks."""
        places = self.places(most)
        panel.set_yticks(places, [self.short(place) for place in places], parse_math=False)
        panel.set_ylabel(self.label(what))


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True
