"""The comparison of docs/evidence.md: its plan, its numbers, its page, and all of it once at a tiny setting."""

import json
import multiprocessing
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.evidence import plan
from analysis.evidence import runs as rates
from analysis.evidence.__main__ import arguments, evidence
from analysis.evidence.report import error_table, filled, rates_table, sections, verdicts
from analysis.evidence.runs import Choice, best_rates, improves_with_data, lower
from analysis.evidence.scores import ScoredRun, error_difference, group_runs, mean_of, read_scores, verdict, weak_ranks
from ordinalclip.preparation.checks import check
from ordinalclip.runs.run import Run, find_runs
from tests import ROOT, warm
from tests.analysis.made_runs import made_run, with_predictions
from tests.conftest import Compose


def made(
    method: str,
    seed: int,
    errors: Any,
    *,
    rate: str = "1e-2",
    setting: str = "full",
    weak: Any = None,
    family: Any = None,
    **values: float,
) -> ScoredRun:
    errors = np.asarray(errors, dtype=np.float64)
    values = {"mae": float(errors.mean()), "constant_mae": 25.0} | values
    weak = np.zeros(len(errors), dtype=bool) if weak is None else weak
    cell, job = plan.Cell(method, setting, seed, rate, ()), cast(Any, None)
    return ScoredRun(cell, job, {"mae": errors, "mae_argmax": 2 * errors}, weak, family, values)


@pytest.mark.slow
def test_settings_have_the_same_steps_and_seeds_draw_their_own_images(compose_cfg: Compose) -> None:
    images = {"1_shot": 101, "4_shots": 404, "16_shots": 1616, "full": 6464}
    images |= {"shift": 61 * 64 + 40 * 6, "unseen": 51 * 64}
    for place in plan.SETTINGS:
        cfg = compose_cfg(*place.words, "prompt=rank", "seed=3", small=False)
        assert cfg["subset"]["seed"] == cfg["seed"] == 3
        assert 48 <= -(-images[place.name] // cfg["batch_size"]) * cfg["epochs"] <= 50
        assert cfg["backbone"]["name"] == "mini_grid"
        assert cfg["subset"]["shots"] == plan.FEW_SHOT.get(place.name) or place.name in ("full", "shift", "unseen")


@pytest.mark.slow
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
    assert not improves_with_data(made("linear", 0, [0], rate="1e-1", **{"val/mae": 24.6}), tried)
    assert improves_with_data(made("linear", 0, [0], rate="3e-2", **{"val/mae": 16.0}), tried)
    assert (lower("1e-1"), lower("1e-4")) == ("3e-2", "1e-4")


def test_rates_are_tried_until_the_best_has_neighbours() -> None:
    tried = {"rank": ["3e-3", "1e-2", "3e-2", "1e-1"], "linear": ["3e-3", "1e-2", "3e-2", "1e-1"]}
    assert plan.neighboring_rates({"rank": "1e-2", "linear": "1e-1"}, tried) == {"linear": ["3e-1"]}
    assert plan.neighboring_rates({"rank": "3e-3", "linear": "3e-2"}, tried) == {"rank": ["1e-3"]}
    assert plan.neighboring_rates({"rank": "1"}, {"rank": ["1", "3e-1"]}) == {}  # the end of the ladder
    cells = plan.rate_cells({"rank": ["1e-2", "3e-2"], "linear": ["1"]}, plan.setting("full"))
    assert [(cell.method, cell.rate) for cell in cells] == [("rank", "1e-2"), ("rank", "3e-2"), ("linear", "1")]


def test_rates_are_widened_proved_and_lowered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loops, on val errors that are made up: what is run in which order, and what is chosen."""
    few = {"linear": {"1e-1": 18, "3e-1": 17, "1": 25}, "rank": {"3e-3": 20, "1e-3": 22}, "context": {}}
    whole = {("linear", "3e-1"): 24, ("linear", "1e-1"): 15, ("rank", "3e-3"): 21, ("rank", "1e-3"): 23}
    steps: list[list[str]] = []

    def run_cells(cells: Sequence[plan.Cell], *_: Any, **__: Any) -> dict[plan.Cell, Any]:
        steps.append([f"{cell.method} {cell.rate} {cell.setting}" for cell in cells])
        return {cell: None for cell in cells if (cell.method, cell.rate) != ("context", "1e-2")}  # another's at work

    def read_(cell: plan.Cell, _: Any) -> ScoredRun:
        small = few[cell.method].get(cell.rate, 30)
        error = small if cell.setting == "16_shots" else whole[cell.method, cell.rate]
        return made(cell.method, cell.seed, [0], rate=cell.rate, setting=cell.setting, **{"val/mae": error})

    monkeypatch.setattr(rates, "run_cells", run_cells)
    monkeypatch.setattr(rates, "read_scores", read_)
    choice = rates.choose_rates(["linear", "rank", "context"], plan.FIRST_RATES, [], widen=True, dry=False)
    # linear's best was at the upper edge, and the next one is not learned with all images; rank's was at the lower
    # edge, is worse with all images as well, and kept, since the next lower one is worse still.
    assert choice.rates == {"linear": "1e-1", "rank": "3e-3"}
    first, *wider, proof, lower = (set(step) for step in steps)
    assert first == {f"{name} {rate} 16_shots" for name in few for rate in plan.FIRST_RATES}
    assert wider[0] - first == {"linear 3e-1 16_shots", "rank 1e-3 16_shots"}
    assert wider[1] - wider[0] == {"linear 1 16_shots"}
    assert proof == {"linear 3e-1 full", "rank 3e-3 full"}
    assert lower == {"linear 1e-1 full", "rank 1e-3 full"}
    assert {run.cell.method for run in choice.tried} == {"linear", "rank"}
    assert {run.cell.rate for run in choice.proved if run.cell.method == "rank"} == {"3e-3", "1e-3"}


def test_a_difference_counts_seeds_and_images() -> None:
    rng = np.random.default_rng(0)
    image = rng.gamma(2.0, 5.0, 400)
    a = [made("rank", s, image + rng.normal(0, 1, 400) + shift) for s, shift in enumerate((-1.0, -1.4, -0.6))]
    b = [made("linear", s, image + rng.normal(0, 1, 400)) for s in range(3)]
    found = error_difference(a, b)
    deltas = np.array([x.errors["mae"] - y.errors["mae"] for x, y in zip(a, b, strict=True)])
    seeds, images = deltas.mean(1).var(ddof=1) / 3, deltas.mean(0).var(ddof=1) / 400
    assert found.value == pytest.approx(deltas.mean())
    assert found.error == pytest.approx((seeds + images) ** 0.5, rel=0.02)  # the images' part is a bootstrap's
    freedom = (seeds + images) ** 2 / (seeds**2 / 2 + images**2 / 399)
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, freedom) * (seeds + images) ** 0.5, rel=0.03)
    # Pairs are by seed, whatever the order and whatever else there is.
    assert error_difference(a[::-1], [*b, made("linear", 9, image)]).value == pytest.approx(found.value)
    assert np.isnan(error_difference(a, []).value)
    assert np.isnan(error_difference(a[:1], b[:1]).low)
    assert error_difference(a, b, "mae_argmax").value == pytest.approx(2 * found.value)
    assert np.isnan(error_difference(a, b, weak=True).value)  # there are no weak ranks


@pytest.mark.slow
def test_a_difference_on_weak_ranks_counts_seeds_and_people() -> None:
    rng = np.random.default_rng(1)
    people = np.arange(400) // 5
    weak = rng.random((3, 400)) < 0.4  # other ranks under each seed
    deltas = rng.normal(0, 2, 80)[people] + rng.normal(0, 1, (3, 400)) + [[1.0], [1.2], [0.9]]
    a = [made("rank", s, 10 + deltas[s], weak=weak[s], family=people) for s in range(3)]
    b = [made("linear", s, np.full(400, 10.0), weak=weak[s], family=people) for s in range(3)]
    found = error_difference(a, b, weak=True)
    by_seed = np.array([deltas[s][weak[s]].mean() for s in range(3)])
    assert found.value == pytest.approx(by_seed.mean())
    draws = []
    for _ in range(2000):
        drawn = np.concatenate([np.flatnonzero(people == one) for one in rng.integers(80, size=80)])
        draws.append(np.mean([deltas[s][drawn][weak[s][drawn]].mean() for s in range(3)]))
    assert found.error == pytest.approx((by_seed.var(ddof=1) / 3 + np.var(draws)) ** 0.5, rel=0.05)
    # As if every picture were of another person, it would seem surer.
    alone = [replace(run, family=None) for run in a]
    assert error_difference(alone, b, weak=True).error < 0.8 * found.error


def test_verdicts_name_the_settings() -> None:
    noise = np.linspace(-1, 1, 50)
    runs = [made("rank", s, 10 + noise + s / 10) for s in range(3)]
    runs += [made("linear", s, 12 + noise - s / 10) for s in range(3)]
    runs += [made("rank", s, 10 + noise + s, setting="1_shot") for s in range(3)]
    runs += [made("linear", s, 10 + noise + 2 - s, setting="1_shot") for s in range(3)]
    groups = group_runs(runs)
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


def test_weak_ranks_are_those_that_the_setting_takes_more_than_half_of() -> None:
    whole = pd.DataFrame({"rank": [0] * 8 + [1] * 3 + [2] * 6 + [3] * 2 + [4], "split": ["train"] * 19 + ["test"]})
    taken = [*range(4), 12, 13, 14, 15, 17, 18]  # four of eight, none of three, four of six, both
    left = whole.assign(split_before_subset=whole["split"], split=whole["split"].mask(whole.index.isin(taken)))
    for table, weak in ((whole, []), (left, [2, 3])):
        job: Any = SimpleNamespace(manifest=SimpleNamespace(table=table, num_ranks=5))
        assert np.flatnonzero(weak_ranks(job)).tolist() == weak


def test_what_is_read_of_a_run(tmp_path: Path) -> None:
    rank, answer = [1, 3, 3, 2], [1.0, 2.0, 3.5, 2.0]
    directory = with_predictions(made_run(tmp_path, "0"), rank, answer, subject=["b", "a", "a", "b"])
    ordered = {"score": 1.0, "off_diagonal": 0.5}
    for name, content in (("ordinality", {"before": ordered, "best": ordered}), ("val_stats", {"val/mae": 4})):
        (directory / f"{name}.json").write_text(json.dumps(content))
    table = pd.DataFrame({"rank": [1, 2, 3, 3], "split": ["train", "train", "train", None]})
    table["split_before_subset"] = ["train"] * 4
    table.loc[2, "split"] = None
    job: Any = SimpleNamespace(run=Run(directory), manifest=SimpleNamespace(table=table, num_ranks=10))
    found = read_scores(plan.Cell("rank", "shift", 0, "1", ()), job)
    assert found.errors["mae"].tolist() == [0, 1, 0.5, 0]
    assert found.errors["mae_argmax"].tolist() == [0, 1, 0, 0]
    assert found.weak.tolist() == [False, True, True, False]
    assert found.family is not None
    assert found.family[0] == found.family[3] != found.family[1] == found.family[2]
    expected = {"mae": 0.375, "mae_weak": 0.75, "mae_argmax_weak": 0.5, "val/mae": 4, "ordinality_before": 1}
    assert {name: found.stats[name] for name in expected} == expected


def test_what_people_wrote_stays_on_the_page() -> None:
    errors = "<!-- numbers: errors -->\nold\n\nold\n<!-- /numbers -->"
    page = f"Words.\n\n{errors}\nMore.\n<!-- numbers: other -->\nx\n<!-- /numbers -->\n"
    made_anew = filled(page, {"errors": r"new \1", "unknown": "y"})
    assert made_anew == page.replace("old\n\nold", r"new \1")
    assert filled(made_anew, {"errors": r"new \1"}) == made_anew


def test_the_page_s_tables_are_those_that_are_written() -> None:
    """What stands between marks is lost with the next `make evidence` unless the program writes it."""
    page = (ROOT / "docs" / "evidence.md").read_text(encoding="utf-8")
    nothing = Choice([], [], dict.fromkeys((one.name for one in plan.METHODS), "1"))
    written = sections(nothing, {}, plan.METHODS, plan.SETTINGS, planned=0)
    blocks = dict(re.findall(r"^<!-- numbers: ([\w ]+) -->\n(.*?)\n<!-- /numbers -->$", page, re.MULTILINE | re.DOTALL))
    assert set(blocks) == {*written, "variants"}
    for name in ("errors", "argmax", "differences", "argmax differences", "ordinality"):
        titles = [[line.split(" | ")[0] for line in text.splitlines()] for text in (blocks[name], written[name])]
        assert titles[0] == titles[1]
        assert blocks[name].splitlines()[0] == written[name].splitlines()[0]
    assert re.sub(r"\d+", "0", blocks["setup"]).startswith(re.sub(r"\d+", "0", written["setup"]))
    assert [line.partition(":")[0] for line in blocks["controls"].splitlines()] == [
        line.partition(":")[0] for line in written["controls"].splitlines()
    ]


@pytest.mark.slow
def test_all_of_it_at_a_tiny_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--quick", "--methods", "linear,interpolated", "--settings", "unseen", "--output", "page"]
    words += ["backbone=tiny", "dataset.size=32", "dataset.num_ranks=11", "tracking=offline", "--jobs", "2"]
    context = warm.mp_context()
    monkeypatch.setattr(multiprocessing, "get_context", lambda _: context)
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
