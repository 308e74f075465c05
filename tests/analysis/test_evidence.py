"""The comparison of docs/evidence.md: its plan, its numbers, its page, and all of it once at a tiny setting."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.evidence import plan
from analysis.evidence.__main__ import arguments, evidence
from analysis.evidence.ahead import error_difference, mean_of, score_difference, verdict
from analysis.evidence.page import filled
from analysis.evidence.rates import Choice, best_rates, learns_more, lower
from analysis.evidence.scores import Scored, grouped, weak_ranks
from analysis.evidence.tables import error_table, rates_table, verdicts
from ordinalclip.config import check
from ordinalclip.runs import find_runs
from tests.conftest import Compose


def made(method: str, seed: int, errors: Any, *, rate: str = "1e-2", setting: str = "full", **values: float) -> Scored:
    errors = np.asarray(errors, dtype=np.float64)
    values = {"mae": float(errors.mean()), "constant_mae": 25.0} | values
    job: Any = None
    return Scored(plan.Cell(method, setting, seed, rate, ()), job, errors, values)


def test_settings_have_the_same_steps_and_seeds_draw_their_own_images(compose_cfg: Compose) -> None:
    images = {"1_shot": 101, "4_shots": 404, "16_shots": 1616, "full": 6464}
    images |= {"shift": 61 * 64 + 40 * 6, "unseen": 51 * 64}
    for place in plan.SETTINGS:
        cfg = compose_cfg(*place.words, "prompt=rank", "seed=3", small=False)
        assert cfg["subset"]["seed"] == cfg["seed"] == 3
        assert 48 <= -(-images[place.name] // cfg["batch_size"]) * cfg["epochs"] <= 50
        assert cfg["backbone"]["name"] == "mini_grid"
        assert cfg["subset"]["shots"] == plan.FEW_SHOT.get(place.name) or place.name in ("full", "shift", "unseen")


@pytest.mark.parametrize("data", plan.DATA)
def test_all_settings_can_be_had_of_either_data(compose_cfg: Compose, data: str) -> None:
    for place in plan.SETTINGS:
        cfg = compose_cfg(*place.words, "prompt=rank", *plan.DATA[data], small=False)
        check(cfg)
        assert cfg["dataset"]["name"].endswith(data)


def test_the_plan() -> None:
    rates = {one.name: "1e-2" for one in plan.METHODS}
    cells = plan.main_cells(plan.METHODS, plan.SETTINGS, rates, plan.SEEDS)
    assert len({cell.words for cell in cells}) == len(cells) == 6 * 6 * 5
    # A seed of everything at a time.
    assert [cell.seed for cell in cells] == sorted(cell.seed for cell in cells)
    untrained = next(cell for cell in cells if cell.method == "rank_untrained")
    assert untrained.words[:3] == ("experiment=evidence_1_shot", "prompt=rank", "backbone=mini_untrained_text")
    for variant in plan.VARIANTS:
        assert {*variant.methods} <= {one.name for one in plan.METHODS}
    variants = plan.variant_cells(plan.METHODS, plan.SETTINGS, rates, plan.VARIANT_SEEDS)
    assert len({cell.words for cell in variants}) == len(variants)
    (tenth,) = (cell for cell in variants if (cell.variant, cell.method, cell.seed) == ("tenth", "rank", 0))
    assert tenth.words[-2:] == ("trainable.context=0.001", "trainable.rank=0.001")
    # Seeds that choose a rate are not those that are compared.
    assert not {*plan.RATE_SEEDS} & {*plan.SEEDS}


def test_a_rate_is_chosen_on_val_by_the_mean_over_seeds() -> None:
    val = {"1e-3": (10.0, 12.0), "3e-3": (8.0, 13.0), "1e-2": (20.0, 1.0)}
    tried = [made("rank", s, [0], rate=r, **{"val/mae": v[s]}) for r, v in val.items() for s in (0, 1)]
    tried += [made("linear", 0, [0], rate=r, **{"val/mae": 5.0}) for r in ("1e-2", "3e-3")]
    rates = best_rates(tried)
    assert rates == {"rank": "3e-3", "linear": "3e-3"}  # of equals the lower
    proof = made("rank", 0, [0], rate="3e-3", **{"val/mae": 9.0})
    table = rates_table(Choice(tried, [proof], rates))
    assert "| rank prompts (OrdinalCLIP), K = 3 | 11.00 | **10.50** | 10.50 | 3e-3: 9.00 |" in table


def test_a_rate_that_does_worse_with_more_images_is_dropped() -> None:
    tried = [made("linear", 0, [0], rate=rate, **{"val/mae": 18.0}) for rate in ("3e-2", "1e-1")]
    assert not learns_more(made("linear", 0, [0], rate="1e-1", **{"val/mae": 24.6}), tried)
    assert learns_more(made("linear", 0, [0], rate="3e-2", **{"val/mae": 16.0}), tried)
    assert (lower("1e-1"), lower("1e-4")) == ("3e-2", "1e-4")


def test_rates_are_tried_until_the_best_has_neighbours() -> None:
    tried = {"rank": ["3e-3", "1e-2", "3e-2", "1e-1"], "linear": ["3e-3", "1e-2", "3e-2", "1e-1"]}
    assert plan.neighbours({"rank": "1e-2", "linear": "1e-1"}, tried) == {"linear": ["3e-1"]}
    assert plan.neighbours({"rank": "3e-3", "linear": "3e-2"}, tried) == {"rank": ["1e-3"]}
    assert plan.neighbours({"rank": "1"}, {"rank": ["1", "3e-1"]}) == {}  # the end of the ladder
    cells = plan.rate_cells({"rank": ["1e-2", "3e-2"], "linear": ["1"]}, plan.setting("full"))
    assert [(cell.method, cell.rate) for cell in cells] == [("rank", "1e-2"), ("rank", "3e-2"), ("linear", "1")]


def test_a_difference_counts_seeds_and_images() -> None:
    rng = np.random.default_rng(0)
    image = rng.gamma(2.0, 5.0, 400)
    a = [made("rank", s, image + rng.normal(0, 1, 400) + shift) for s, shift in enumerate((-1.0, -1.4, -0.6))]
    b = [made("linear", s, image + rng.normal(0, 1, 400)) for s in range(3)]
    found = error_difference(a, b)
    deltas = np.array([x.errors - y.errors for x, y in zip(a, b, strict=True)])
    seeds, images = deltas.mean(1).var(ddof=1) / 3, deltas.mean(0).var(ddof=1) / 400
    assert found.value == pytest.approx(deltas.mean())
    assert found.error == pytest.approx((seeds + images) ** 0.5, rel=0.02)  # the images' part is a bootstrap's
    freedom = (seeds + images) ** 2 / (seeds**2 / 2 + images**2 / 399)
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, freedom) * (seeds + images) ** 0.5, rel=0.03)
    # Pairs are by seed, whatever the order and whatever else there is.
    assert error_difference(a[::-1], [*b, made("linear", 9, image)]).value == pytest.approx(found.value)
    assert np.isnan(error_difference(a, []).value)
    assert np.isnan(error_difference(a[:1], b[:1]).low)
    by_seed = score_difference(a, b, "mae")
    reference = stats.ttest_1samp(deltas.mean(1), 0).confidence_interval()
    assert (by_seed.low, by_seed.high) == pytest.approx((reference.low, reference.high))


def test_verdicts_name_the_settings() -> None:
    noise = np.linspace(-1, 1, 50)
    runs = [made("rank", s, 10 + noise + s / 10) for s in range(3)]
    runs += [made("linear", s, 12 + noise - s / 10) for s in range(3)]
    runs += [made("rank", s, 10 + noise + s, setting="1_shot") for s in range(3)]
    runs += [made("linear", s, 10 + noise + 2 - s, setting="1_shot") for s in range(3)]
    groups = grouped(runs)
    text = verdicts(groups, [("rank", "linear"), ("rank", "context")], plan.SETTINGS)
    assert text.splitlines() == [
        "- rank against linear head: not told apart: 1 shot; ahead: all images.",
        "- rank against context: no intervals yet.",
    ]
    assert verdict(error_difference(groups["", "full", "linear"], groups["", "full", "rank"])) == "behind"
    table = error_table(groups, plan.METHODS[:1], plan.SETTINGS, "mae")
    assert "| linear head | 11.00 ± 2.48 | – | – | 11.90 ± 0.25 | – | – | – | – |" in table
    assert "| constant predictor | 25.0 |" in table
    assert mean_of(groups["", "full", "linear"], "mae").value == pytest.approx(11.9)


def test_weak_ranks_are_those_with_less_than_half_the_images() -> None:
    rank = np.repeat([0, 1, 2, 3], [8, 4, 3, 0])
    table = pd.DataFrame({"rank": [*rank, 3], "split": ["train"] * len(rank) + ["test"]})
    job: Any = SimpleNamespace(manifest=SimpleNamespace(table=table, num_ranks=4))
    assert weak_ranks(job).tolist() == [False, False, True, True]


def test_what_people_wrote_stays_on_the_page() -> None:
    errors = "<!-- numbers: errors -->\nold\n\nold\n<!-- /numbers -->"
    page = f"Words.\n\n{errors}\nMore.\n<!-- numbers: other -->\nx\n<!-- /numbers -->\n"
    made_anew = filled(page, {"errors": r"new \1", "unknown": "y"})
    assert made_anew == page.replace("old\n\nold", r"new \1")
    assert filled(made_anew, {"errors": r"new \1"}) == made_anew


@pytest.mark.slow
def test_all_of_it_at_a_tiny_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--quick", "--methods", "linear,interpolated", "--settings", "unseen", "--output", "page"]
    words += ["backbone=tiny", "dataset.size=32", "dataset.num_ranks=11", "tracking=offline"]
    page = evidence(arguments().parse_args(words))
    first = page.read_text(encoding="utf-8")
    assert "4 of 4 runs are finished, and 4 that chose learning rates" in first
    assert "interpolated head − linear head" in first
    assert {path.name for path in page.parent.iterdir()} == {"evidence.md", "evidence_differences.svg"}
    runs = {run.directory: run.status()["updated"] for run in find_runs(tmp_path / "runs")}
    assert len(runs) == 8
    # Again: nothing is run, and the page says the same.
    evidence(arguments().parse_args(words))
    assert {run.directory: run.status()["updated"] for run in find_runs(tmp_path / "runs")} == runs
    assert page.read_text(encoding="utf-8") == first
