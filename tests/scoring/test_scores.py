"""Scores by name: those of the tables equal those of the classes, and what is not defined is said so."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from ordinalclip.config.checks import READOUTS
from ordinalclip.errors import ConfigError
from ordinalclip.metrics.names import SCORES, SHOWN, parse_score_names, shown
from ordinalclip.metrics.readout import read_out
from ordinalclip.scoring.details import details, jsonable
from ordinalclip.scoring.image_scores import per_image
from ordinalclip.scoring.intervals import score_intervals
from ordinalclip.scoring.predictions import Predictions, from_tables
from ordinalclip.scoring.scores import compute_scores, default_score_names, why_missing
from tests.metrics.test_collection import VALUES, sample

RANKS = {"names": ["30s", "40s", "50s", "70s", "00s"], "values": VALUES, "unit": "year"}


def predictions(num_images=120, readout="expectation", **columns):
    probs, rank = sample(num_images)
    rows = pd.DataFrame({"path": range(num_images), "rank": rank.numpy(), **columns})
    for column in ("subject", "group"):
        rows[column] = rows.get(column)
    return from_tables(probs.numpy(), rows, RANKS, readout)


def test_every_score_has_its_number_and_its_words():
    whole = predictions(sex=["f", "m"] * 60, deviation=2.0)
    found = compute_scores(whole)
    assert list(found) == [*SCORES, "cs_5"]
    assert all(math.isfinite(value) for value in found.values())
    of_the_run = {"mae_seen", "mae_unseen", "coverage_90", "interval_width_90"}
    assert set(SHOWN) - of_the_run <= set(found)
    assert len([name for name in found if shown(name, "rounded_expectation")]) <= 21


def test_means_of_images_are_the_scores():
    whole = predictions()
    images, found = per_image(whole), compute_scores(whole)
    assert len(images) == 14
    for name, values in images.items():
        assert values.mean() == pytest.approx(found[name], rel=1e-5), name


def test_cs_is_in_the_unit_of_the_data_and_of_the_declared_readout():
    for readout in READOUTS:
        whole = predictions(readout=readout)
        values = read_out(torch.from_numpy(whole.probs), readout, torch.tensor(VALUES)).numpy()
        error = np.abs(values - np.array(VALUES)[whole.rank])
        found = compute_scores(whole, parse_score_names(["cs@10", "cs@12.5", "accuracy_within@2"]))
        assert found["cs_10"] == pytest.approx((error <= 10).mean())
        assert found["cs_12.5"] == pytest.approx((error <= 12.5).mean())
        assert found["accuracy_within_2"] == (np.abs(whole.probs.argmax(1) - whole.rank) <= 2).mean()
    tenths = Predictions(np.eye(4)[[3]], np.array([2]), list("abcd"), np.array([0.3, 0.5, 0.7, 0.9]), "")
    assert compute_scores(tenths, ["cs_0.2"])["cs_0.2"] == 1  # 0.9 - 0.7 is more than 0.2 in binary


def test_names():
    assert parse_score_names(["qwk", "cs@5", "cs_5", "qwk"]) == ["qwk", "cs_5"]
    assert parse_score_names(["all"]) == list(SCORES)
    with pytest.raises(
        ConfigError, match=r"(?s)metrics=quwk: there is no such metric.*amae, mmae.*cs@5.*did you mean qwk"
    ):
        parse_score_names(["quwk"])
    with pytest.raises(ConfigError, match="metrics=cs@x"):
        parse_score_names(["cs@x"])


def test_what_the_data_lack_is_said():
    plain = predictions()
    assert "epsilon_error" not in default_score_names(plain)
    assert why_missing("epsilon_error", plain) == "the data have no annotators' deviation"
    assert math.isnan(compute_scores(plain, ["epsilon_error"])["epsilon_error"])
    assert math.isnan(compute_scores(plain, ["worst_group_mae"])["worst_group_mae"])


def test_a_model_that_broke_has_no_scores_and_no_curves():
    whole = predictions(20)
    broken = Predictions(np.full_like(whole.probs, np.nan), *list(vars(whole).values())[1:])
    assert all(math.isnan(value) for value in compute_scores(broken).values())
    assert "pit" not in details(broken)


def test_details_are_json_and_agree_with_the_scores():
    whole = predictions(sex=["f"] * 60 + ["m"] * 60, subject=np.arange(120) // 3)
    found, scores = details(whole), compute_scores(whole)
    assert found["readouts"]["median"]["mae"] == pytest.approx(scores["mae_median"])
    assert found["thresholds"]["mean"] == pytest.approx(scores["tce"])
    assert found["risk_coverage"]["curves"]["expected_error"]["aurc"] == pytest.approx(scores["aurc"])
    assert found["risk_coverage"]["curves"]["entropy"]["risk"][-1] == pytest.approx(scores["mae"])
    assert found["reliability"]["ece"] == pytest.approx(scores["ece"], rel=1e-5)
    assert np.nanmean(found["ranks"]["mae"]) == pytest.approx(scores["amae"])
    assert np.mean(found["pit"]["height"]) == pytest.approx(1)
    assert found["groups"]["worst"]["mae"] == pytest.approx(scores["worst_group_mae"])
    assert found["intervals"]["by"] == "subject, group or block"
    assert found["intervals"]["num_groups"] == 40
    for name, (low, high) in found["intervals"]["scores"].items():
        assert low <= scores[name] <= high, name
    assert jsonable({"a": [float("nan"), np.array([1.0, np.inf])]}) == {"a": [None, [1.0, None]]}


def test_absent_ranks_are_named():
    probs, rank = sample(40)
    some = rank != 3
    rows = pd.DataFrame({"rank": rank[some].numpy()})
    found = details(from_tables(probs[some].numpy(), rows, RANKS))["ranks"]
    assert found["absent"] == ["70s"]
    assert found["count"][3] == 0
    assert found["mae"][3] is None


def test_one_subject_gives_no_interval():
    found = score_intervals(predictions(12, subject=["a"] * 12), draws=10)
    assert found["num_groups"] == 1
    assert all(np.isnan(ends).all() for ends in found["scores"].values())
