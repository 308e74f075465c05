"""Constructor signatures as the schema of whatever has a `_target_`. (Between only, until the checker lands.)"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Between:
    """Closed range for a number; a string bound is a quantity known later, such as `num_ranks`."""

    low: float | str | None
    high: float | str | None
