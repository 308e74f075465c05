"""What the benchmarks are to reach, and whether they do, from what they have found."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ordinalclip.bench.section import Row

PEAK = "share of the peak"  # the column of it
_TEXT = "it has 27 times fewer operations and drifts about that: what is left is products of matrices, as in naive"
_STEP = "of naive's step, too, nearly all is the image tower's, which has no shorter way"

_COPY = "nearly all of the time is MLflow's own work on each value"


class Target(NamedTuple):
    """A number that a row of a benchmark is to reach.

    Attributes:
        what: is measured.
        benchmark: its name.
        where: columns of the row, with their values.
        column: that holds the number.
        bound: what it is to be at least, or at most.
        at_most: whether small numbers are good.
        over: columns of another row, by whose number it is divided.
        limit: what stands in the way where it is not reached.
        best: columns of the row that shows how far it can be reached at all.
    """

    what: str
    benchmark: str
    where: Mapping[str, str | int]
    column: str
    bound: float
    at_most: bool = False
    over: Mapping[str, str | int] | None = None
    limit: str = ""
    best: Mapping[str, str | int] | None = None

    def measured(self, sections: Mapping[str, Any]) -> float | None:
        """The number; None where it has not been measured."""
        value = self._value(sections, self.where, self.column)
        if value is None or self.over is None:
            return value
        other = self._value(sections, self.over, self.column)
        return None if other is None else value / other

    def why_not(self, sections: Mapping[str, Any]) -> str:
        """What stands in the way, with the numbers that were measured of it."""
        best = None if self.best is None else self._value(sections, self.best, self.column)
        share = self._value(sections, self.where, PEAK)
        told = [
            self.limit or "not known why",
            "" if best is None else f"with text for nothing it would be {best:.2g}",
            "" if share is None else f"the whole step runs at {share:.0%} of this machine's matrix peak",
        ]
        return "; ".join(filter(None, told))

    def _value(self, sections: Mapping[str, Any], where: Mapping[str, str | int], column: str) -> float | None:
        rows = sections.get(self.benchmark, {"rows": ()})["rows"]
        values = [row.get(column) for row in rows if all(row.get(name) == value for name, value in where.items())]
        return None if not values or values[0] is None else float(values[0])

    def met(self, value: float) -> bool:
        """Whether a number reaches the bound."""
        return value <= self.bound if self.at_most else value >= self.bound


def _text(what: str, column: str, bound: float) -> Target:
    return Target(
        f"text tower of ViT-B/16, 101 ranks: {what}", "text", _at(101, "text tower"), column, bound, limit=_TEXT
    )


def _at(num_ranks: int, model: str = "model") -> dict[str, str | int]:
    return {model: "ViT-B-16", "ranks": num_ranks}


def _targets() -> Iterator[Target]:
    yield _text("forward and backward, times faster", "times faster than naive", 26)
    yield _text("activations, times less memory", "times less memory", 15)
    for model in ("ViT-B-16", "RN50", "ViT-L-14"):
        where, over = ({"text tower": model, "ranks": ranks} for ranks in (1024, 512))
        what = f"text tower of {model}: time of 1,024 ranks over that of 512"
        yield Target(what, "text", where, "ours, ms", 2.2, at_most=True, over=over)
    for ranks in (101, 5):
        yield Target(f"prompt-only epoch, {ranks} ranks: times faster", "epoch", _at(ranks), "times faster", 40)
    for ranks in (101, 5):
        for ours, bound in (("float32", 1.5), ("bfloat16", 2.5)):
            what = f"fine-tuning step, {ranks} ranks, {ours}: times faster"
            where, best = ({**_at(ranks), "ours": way} for way in (ours, f"{ours}, without text"))
            yield Target(what, "finetune", where, "times faster", bound, limit=_STEP, best=best)
    for files in ("300 × 300 png", "1000 × 1000 jpg"):
        yield Target(f"warm data path, {files}: times faster", "images", {"files": files}, "times faster", 10)
    for what, seconds in (
        ("--help", 1),
        ("a refused key of ours", 1),
        ("a refused argument of a foreign class", 8),
        ("first step", 10),
    ):
        yield Target(f"start, {what}: seconds", "startup", {"what": what}, "ours, s", seconds, at_most=True)
    beyond = "beyond training, s a run"
    yield Target("one more run of a sweep, beyond training: seconds", "sweep", {}, beyond, 1, at_most=True)
    for epochs in (20, 50):
        what = f"1000 runs of {epochs} epochs copied"
        named = f"MLflow, {what}: seconds"
        yield Target(named, "tracking", {"what": what}, "seconds", 120, at_most=True, limit=_COPY)
    share = "training waits, %"
    yield Target("MLflow, training waits for it: % of an epoch", "tracking", {}, share, 1, at_most=True)


TARGETS = tuple(_targets())


def target_rows(sections: Mapping[str, Any]) -> list[Row]:
    """A row a target.

    Args:
        sections: what `benchmarks.json` holds.
    """
    rows: list[Row] = []
    for target in TARGETS:
        value = target.measured(sections)
        met = "not measured" if value is None else "yes" if target.met(value) else "no"
        wanted = f"{'at most' if target.at_most else 'at least'} {target.bound:g}"
        rows.append({"what": target.what, "wanted": wanted, "measured": value, "reached": met})
    return rows


def limits(sections: Mapping[str, Any]) -> list[str]:
    """A line for each target that is not reached: what stands in the way."""
    lines = []
    for target in TARGETS:
        value = target.measured(sections)
        if value is not None and not target.met(value):
            lines.append(f"- {target.what} is {value:.2g}, not {target.bound:g}: {target.why_not(sections)}.")
    return lines
