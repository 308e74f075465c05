import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import initialize_config_dir
from PIL import Image
from torch import nn

import ordinalclip
from ordinalclip.config.compose import conf_dir
from ordinalclip.errors import ConfigError, DataError
from ordinalclip.inference.model import RankModel
from ordinalclip.inference.predictions import prob_columns
from ordinalclip.runs.run import Run
from tests.trained import train

Tested = tuple[list[Path], np.ndarray]


@pytest.mark.slow
def test_a_loaded_run_says_what_it_recorded(model: RankModel, tested: Tested) -> None:
    paths, probs = tested
    plain = replace(model, calibration=None)
    found = plain.predict(paths, batch_size=7)
    assert np.allclose(found.probs, probs, atol=1e-5)
    assert len(found) == len(paths)
    values = np.array(model.ranks.scale)
    assert np.allclose(found.expectation, probs @ values, atol=1e-4)
    assert found[3].value == values[found.rank[3]]
    assert [one.rank for one in found] == found.rank.tolist()
    calibrated = model.predict(paths)  # by the run's own calibration
    assert np.abs(calibrated.probs - probs).max() > 1e-3
    assert calibrated.coverage == 0.9
    assert np.isfinite(calibrated.interval()).all()


@pytest.mark.slow
def test_cached_features_and_images_agree(folder: Path) -> None:
    run = train(folder, "prompt=linear")
    model = ordinalclip.load(run.directory, device="cpu")
    manifest = run.directory / "manifest.csv"
    root = Path((run.read_json("provenance.json") or {})["root"])
    import pandas as pd

    table = pd.read_csv(manifest)
    paths = [root / path for path in table.loc[table["split"] == "test", "path"]]
    recorded = np.stack(pd.read_parquet(run.directory / "predictions.parquet")["probs"])
    assert np.allclose(replace(model, calibration=None).predict(paths).probs, recorded, atol=1e-5)


def test_no_text_is_read_or_run(run: Run, monkeypatch: pytest.MonkeyPatch, tested: Tested) -> None:
    from ordinalclip.model import OrdinalCLIP
    from ordinalclip.text import encoding as text

    def refuse(*_: object) -> None:
        raise AssertionError("a text tower ran")

    monkeypatch.setattr(OrdinalCLIP, "rank_features", refuse)
    monkeypatch.setattr(text, "encode_prompts", refuse)
    assert len(ordinalclip.load(run.directory, device="cpu").predict(tested[0][:1])) == 1


def test_every_form_of_an_image_is_the_same_image(model: RankModel, tested: Tested) -> None:
    path = tested[0][0]
    image = Image.open(path).convert("RGB")
    array = np.asarray(image)
    tensor = torch.from_numpy(array.copy()).permute(2, 0, 1)
    forms = [path, str(path), path.read_bytes(), image, array, tensor, array / 255, tensor / 255]
    one = model.predict(path).probs
    for form in forms:
        assert np.allclose(model.predict(form).probs, one, atol=1e-6)
    assert np.allclose(model.predict(forms).probs, np.repeat(one, len(forms), 0), atol=1e-5)
    batch = torch.stack([tensor, tensor])
    assert np.allclose(model.predict(batch).probs, np.repeat(one, 2, 0), atol=1e-5)
    assert np.allclose(model.predict(batch.permute(0, 2, 3, 1).numpy()).probs, np.repeat(one, 2, 0), atol=1e-5)
    assert len(model.predict(form for form in forms)) == len(forms)


def test_what_is_refused(model: RankModel, folder: Path) -> None:
    with pytest.raises(ValueError, match="there are no images"):
        model.predict([])
    with pytest.raises(ValueError, match="batch_size=0"):
        model.predict("a.png", batch_size=0)
    with pytest.raises(DataError, match=r"^none\.png: file not found"):
        model.predict("none.png")
    with pytest.raises(ConfigError, match="there is no such run"):
        ordinalclip.load("none", runs=folder)
    with pytest.raises(ConfigError, match="device=nowhere"):
        ordinalclip.load(folder / "runs" / model.facts["run"], device="nowhere")


def test_an_image_that_would_be_enormous_once_scaled_is_refused(model: RankModel) -> None:
    cropping = replace(model, preprocessing=replace(model.preprocessing, resize="crop"))
    line = Image.new("RGB", (1, 200_000))
    with pytest.raises(DataError, match=r"1 × 200,000 pixels are too long and thin"):
        cropping.predict(line)
    assert len(model.predict(line)) == 1  # squashed
    assert len(cropping.predict(Image.new("RGB", (8, 800)))) == 1


def test_the_table(model: RankModel, tested: Tested) -> None:
    table = model.predict(tested[0][:5]).to_frame(top=2)
    names = list(model.ranks.names)
    assert list(table)[:7] == ["rank", "name", "value", "expectation", "lower", "upper", "coverage"]
    probs = table[[f"p_{name}" for name in names]].to_numpy()
    assert np.allclose(probs.sum(1), 1)
    assert table["top1"].tolist() == [names[index] for index in probs.argmax(1)]
    assert np.allclose(table["top2_prob"], np.sort(probs, 1)[:, -2])
    assert not any(name.startswith("p_") for name in model.predict(tested[0][:1]).to_frame(probs=False))
    with pytest.raises(ValueError, match="top=99"):
        model.predict(tested[0][:1]).to_frame(top=99)


def test_ranks_of_one_name_have_columns_of_their_own() -> None:
    assert prob_columns(["a", "b", "a"]) == ["p_0_a", "p_b", "p_2_a"]


def test_intervals_are_in_the_unit_of_the_values(model: RankModel, tested: Tested) -> None:
    num_ranks = len(model.ranks.names)
    ranks = replace(model.ranks, scale=tuple(10.0 * rank for rank in range(num_ranks)))
    few = {"threshold": None, "reason": "12 calibration images; this level takes at least 19"}
    levels = {"0.8": {"threshold": 0.0}, "0.9": {"threshold": 1.0}, "0.95": few}
    fitted = {"default": "0.9", "temperature": 2.0, "levels": levels}
    calibrated = replace(model, calibration=fitted, ranks=ranks)
    found = calibrated.predict(tested[0][:2])
    assert (found[0].lower, found[0].upper, found.coverage) == (0.0, 10.0 * (num_ranks - 1), 0.9)  # all the mass
    narrow = calibrated.predict(tested[0][:2], level=0.8)
    assert (narrow[0].lower, narrow.coverage) == (narrow[0].upper, 0.8)  # the median rank alone
    as_is = replace(model, calibration=None, ranks=ranks).predict(tested[0][:2])
    warm = np.sqrt(as_is.probs.astype(float))  # temperature 2
    assert np.allclose(found.probs, warm / warm.sum(1, keepdims=True), atol=1e-6)
    assert np.array_equal(found.expectation, as_is.expectation)  # of what the test scores are of
    assert calibrated.no_intervals() == ""
    lacking = replace(calibrated, calibration=fitted | {"default": "0.95"})
    assert lacking.no_intervals() == few["reason"]
    for none in (as_is, lacking.predict(tested[0][:2])):
        assert np.isnan(none[0].lower)
        assert np.isnan(none.to_frame()["coverage"][0])
    for level, told in (0.5, "not among the levels"), (0.95, r"(?s)no such intervals: 12 calib.*allowed: 0\.8, 0\.9$"):
        with pytest.raises(ConfigError, match=told):
            calibrated.predict(tested[0][0], level=level)
    with pytest.raises(ConfigError, match="nothing was calibrated"):
        replace(model, calibration=None).predict(tested[0][0], level=0.9)


def test_what_a_loaded_model_lacks_is_told_once(folder: Path, caplog: pytest.LogCaptureFixture, tested: Tested) -> None:
    run = train(folder, "prompt=linear", "protocol.calibration=0")
    caplog.clear()
    model = ordinalclip.load(run.directory, device="cpu")
    model.predict(tested[0][:2])
    (told,) = caplog.messages
    assert "no intervals: 0 calibration images; this level takes at least 9" in told


def test_predictions_are_gone_through_in_linear_time(model: RankModel, tested: Tested) -> None:
    """One by one they look at their own rows only: of a million, all intervals a million times is days."""
    found = model.predict(tested[0])
    calls = 0

    class Counted(type(found)):
        def interval(self):
            nonlocal calls
            calls += 1
            return super().interval()

    lower = [one.lower for one in Counted(**vars(found))]
    assert calls == 0
    assert np.array_equal(lower, found.interval()[0], equal_nan=True)


def test_a_run_is_found_in_a_folder_of_any_name_by_a_program_that_is_hydras_itself(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    runs, latest = tmp_path / "My Runs (old), a=b", tmp_path / "latest"
    runs.symlink_to(folder / "runs")
    latest.symlink_to(run.directory)
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        found = ordinalclip.load(run.run_id, runs=runs, device="cpu")
        linked = ordinalclip.load(latest, device="cpu")
    assert found.facts == linked.facts
    assert linked.facts["run_id"] == run.run_id


def test_importing_the_package_takes_no_torch() -> None:
    code = "import sys, ordinalclip; assert callable(ordinalclip.load); assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_frozen_towers_stay_in_eval_mode(model: RankModel) -> None:
    ranker = model.logits.args[0]  # type: ignore[attr-defined]
    assert isinstance(ranker, nn.Module)
    assert not any(module.training for module in ranker.modules())
