"""The methods, settings and variants of the comparison, and the overrides of each run."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

RATES = ("1e-4", "3e-4", "1e-3", "3e-3", "1e-2", "3e-2", "1e-1", "3e-1", "1")
FIRST_RATES = RATES[3:7]  # others are tried if the best is the lowest or the highest of these
RATE_SETTING, PROVING_SETTING = "16_shots", "full"
RATE_SEEDS = (100,)  # not among SEEDS, so with other training images
SEEDS = (0, 1, 2, 3, 4)


@dataclass(frozen=True)
class Method:
    """A method to compute rank features.

    Attributes:
        name: short, for options and plots.
        title: for tables.
        words: its overrides.
        late: run after all others, including the variants.
    """

    name: str
    title: str
    words: tuple[str, ...]
    late: bool = False


@dataclass(frozen=True)
class Setting:
    """A setting of the training images.

    Attributes:
        name: short; `experiment=evidence_<name>`, or `experiment=evidence` for "full".
        title: for tables.
        weak: title of the ranks with few or no training images; "" if there are none.
    """

    name: str
    title: str
    weak: str = ""

    @property
    def words(self) -> tuple[str, ...]:
        """Its overrides."""
        return ("experiment=evidence" if self.name == "full" else f"experiment=evidence_{self.name}",)


@dataclass(frozen=True)
class Variant:
    """A change to some methods, to explain the results.

    Attributes:
        name: short.
        title: for tables.
        words: added overrides; `{tenth}` and `{third}` are fractions of the method's learning rate.
        methods: names of the methods.
        settings: names of the settings.
    """

    name: str
    title: str
    words: tuple[str, ...]
    methods: tuple[str, ...]
    settings: tuple[str, ...]


@dataclass(frozen=True)
class Cell:
    """One run.

    Attributes:
        method: name of the method.
        setting: name of the setting.
        seed: of the run and of its subset of images.
        rate: learning rate, as typed.
        words: all overrides.
        variant: name of the variant; "" in the main comparison.
    """

    method: str
    setting: str
    seed: int
    rate: str
    words: tuple[str, ...]
    variant: str = ""


UNTRAINED = "backbone=mini_untrained_text"
METHODS = (
    Method("linear", "linear head", ("prompt=linear",)),
    Method("interpolated", "linear head, interpolated from K = 3", ("prompt=linear_interpolated",)),
    Method("context", "context prompts (CoOp)", ("prompt=context",)),
    Method("rank", "rank prompts (OrdinalCLIP), K = 3", ("prompt=rank",)),
    Method("context_untrained", "context prompts, untrained text tower", ("prompt=context", UNTRAINED), late=True),
    Method("rank_untrained", "rank prompts, untrained text tower", ("prompt=rank", UNTRAINED)),
)
SETTINGS = (
    Setting("1_shot", "1 shot"),
    Setting("4_shots", "4 shots"),
    Setting("16_shots", "16 shots"),
    Setting("full", "all images"),
    Setting("shift", "shift", weak="thinned ranks"),
    Setting("unseen", "unseen ranks", weak="unseen ranks"),
)
FEW_SHOT = {"1_shot": 1, "4_shots": 4, "16_shots": 16, "full": None}  # None = all images
# Overrides of experiment=evidence, whose data set is gauges.
DATA = {"gauge": (), "heads": ("dataset=heads", "~dataset.images_per_rank")}
# Each variant tests one explanation: the optimizer, the tower's features, or the interpolation of ranks.
_ALL, _ORDERED = ("linear", "interpolated", "context", "rank"), ("interpolated", "rank")
_BOTH = ("16_shots", "full")
_TENTH = ("trainable.context={tenth}", "trainable.rank={tenth}")
_PIECEWISE = "prompt.interpolation=piecewise"
# With these, the learning rates chosen for the main comparison are too high to learn.
_SHARP = ("backbone.temperature=0.002", "lr={tenth}")
_POOLED = ("backbone.layer=last", "backbone.grid=1", "lr={tenth}")
VARIANTS = (
    Variant("steps", "twice the steps", ("epochs=50",), _ALL, ("16_shots",)),
    Variant("slower", "a third of the rate", ("lr={third}",), _ALL, ("full",)),
    Variant("tenth", "prompts at a tenth of the rate", _TENTH, ("context", "rank"), ("16_shots",)),
    Variant("sharp", "logit scale 500 instead of 50, a tenth of the rate", _SHARP, _ALL, _BOTH),
    Variant("k5", "K = 5, piecewise", ("prompt.num_base_ranks=5", _PIECEWISE), _ORDERED, _BOTH),
    Variant("k11", "K = 11, piecewise", ("prompt.num_base_ranks=11", _PIECEWISE), _ORDERED, ("full",)),
    Variant("grid", "finer grid: 7 × 7 cells", ("backbone.grid=7",), _ALL, ("16_shots",)),
    Variant("pooled", "no grid: the last layer's mean, a tenth of the rate", _POOLED, _ALL, ("16_shots",)),
)
VARIANT_SEEDS = (0, 1, 2)


def method(name: str) -> Method:
    """Returns a method by name."""
    return next(one for one in METHODS if one.name == name)


def setting(name: str) -> Setting:
    """Returns a setting by name."""
    return next(one for one in SETTINGS if one.name == name)


def rate_cells(rates: Mapping[str, Sequence[str]], place: Setting) -> list[Cell]:
    """Returns the cells that try learning rates.

    Args:
        rates: method → learning rates to try.
        place: the setting.
    """
    return [
        _cell(method(name), place, seed, rate, "evidence_rates", (), "")
        for seed in RATE_SEEDS
        for name, some in rates.items()
        for rate in some
    ]


def neighboring_rates(best: Mapping[str, str], tried: Mapping[str, Collection[str]]) -> dict[str, list[str]]:
    """Returns method → untried rates next to its best one, for the methods that have any."""
    missing = {}
    for name, rate in best.items():
        place = RATES.index(rate)
        beside = RATES[max(place - 1, 0) : place + 2]
        missing[name] = [one for one in beside if one not in tried[name]]
    return {name: rates for name, rates in missing.items() if rates}


def main_cells(
    methods: Sequence[Method], settings: Sequence[Setting], rates: dict[str, str], seeds: Sequence[int]
) -> list[Cell]:
    """Returns the cells of the main comparison, ordered by seed, so that unfinished ones are comparable as well."""
    return [
        _cell(one, place, seed, rates[one.name], "evidence", (), "")
        for seed in seeds
        for place in settings
        for one in methods
    ]


def variant_cells(
    methods: Sequence[Method], settings: Sequence[Setting], rates: dict[str, str], seeds: Sequence[int]
) -> list[Cell]:
    """Returns the cells of the variants, for the given methods and settings."""
    return [
        _cell(one, place, seed, rates[one.name], "evidence_variants", variant.words, variant.name)
        for seed in seeds
        for variant in VARIANTS
        for place in settings
        for one in methods
        if one.name in variant.methods and place.name in variant.settings
    ]


def _cell(one: Method, place: Setting, seed: int, rate: str, sweep: str, more: tuple[str, ...], variant: str) -> Cell:
    lower = {"tenth": f"{float(rate) / 10:g}", "third": f"{float(rate) / 3:.2g}"}
    more = tuple(word.format(**lower) for word in more)
    words = (*place.words, *one.words, f"lr={rate}", f"seed={seed}", f"sweep_name={sweep}", *more)
    return Cell(one.name, place.name, seed, rate, words, variant)
