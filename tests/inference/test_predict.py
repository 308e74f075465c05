import os
import shutil
import subprocess
import sys
import threading
import time
import weakref
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from ordinalclip.errors import ConfigError, DataError
from ordinalclip.export import export
from ordinalclip.images.decoding import FORMATS
from ordinalclip.inference import stream
from ordinalclip.inference.model import RankModel
from ordinalclip.predict import predict
from ordinalclip.runs.run import Run
from tests.serving.made_model import made_model

Tested = tuple[list[Path], np.ndarray]


@pytest.fixture
def images(tmp_path: Path, tested: Tested) -> Path:
    """Eight images that are sound, and two that are not."""
    folder = tmp_path / "images"
    folder.mkdir()
    for index, path in enumerate(tested[0][:8]):
        shutil.copy(path, folder / f"{index}.png")
    (folder / "2b.png").write_bytes(b"torn")
    (folder / "9.png").touch()
    return folder


def typed(run: Run, images: Path, *words: str) -> list[str]:
    return [f"run={run.directory}", f"images={images}", f"out={images.parent / 'out.csv'}", "device=cpu", *words]


def test_a_folder_with_broken_images(run: Run, images: Path, model: RankModel) -> None:
    out = predict(typed(run, images, "top=1"))
    table, broken = pd.read_csv(out), pd.read_csv(out.with_name("out-broken.csv"))
    assert [Path(path).name for path in table["path"]] == [f"{index}.png" for index in range(8)]
    assert [Path(path).name for path in broken["path"]] == ["2b.png", "9.png"]
    assert broken["error"].tolist() == [
        f"not an image of a supported format: {', '.join(FORMATS)}",
        "the file is empty (0 bytes)",
    ]
    found = model.predict([images / f"{index}.png" for index in range(8)]).to_frame(top=1)
    expected = pd.read_csv(StringIO(found.to_csv(index=False)))
    pd.testing.assert_frame_equal(table.drop(columns="path"), expected, rtol=1e-4)
    assert sorted(path.name for path in images.parent.iterdir()) == ["images", "out-broken.csv", "out.csv"]


def test_intervals_of_another_level(run: Run, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ordinalclip.inference import opening

    def calibrated(*words: object, **options: object) -> RankModel:
        levels = {"0.8": {"threshold": 0.0}, "0.9": {"threshold": 1.0}}
        return replace(load(*words, **options), calibration={"default": "0.9", "temperature": None, "levels": levels})

    load = opening.load
    monkeypatch.setattr(opening, "load", calibrated)
    wide, narrow = (
        pd.read_csv(predict(typed(run, images))),
        pd.read_csv(predict([*typed(run, images, "level=0.8", "overwrite=true")])),
    )
    assert set(wide["coverage"]) == {0.9}
    assert (wide["upper"] > wide["lower"]).all()
    assert set(narrow["coverage"]) == {0.8}
    assert (narrow["upper"] == narrow["lower"]).all()  # the median rank


@pytest.mark.slow
def test_both_formats_say_the_same(run: Run, images: Path) -> None:
    table = pd.read_csv(predict(typed(run, images)), dtype={"name": "str"})
    other = pd.read_parquet(predict([*typed(run, images), f"out={images.parent / 'other.parquet'}"]))
    assert list(other) == list(table)
    assert other["rank"].dtype == table["rank"].dtype == np.int64
    pd.testing.assert_frame_equal(other, table, check_dtype=False, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_killed_one_goes_on_after_its_last_part(
    run: Run, images: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    words = [*typed(run, images, "batch_size=2"), f"out={images.parent / f'out.{kind}'}"]
    whole = predict(words)
    expected = whole.read_bytes()
    whole.unlink()
    whole.with_name("out-broken.csv").unlink()
    monkeypatch.setattr(stream, "PART", 3)
    seen: list[str] = []
    pixels = RankModel.pixels

    def watched(model: RankModel, image: str) -> object:
        seen.append(Path(image).name)
        if image.endswith("5.png") and seen.count("5.png") == 1:
            raise KeyboardInterrupt
        return pixels(model, image)

    monkeypatch.setattr(RankModel, "pixels", watched)
    with pytest.raises(KeyboardInterrupt):
        predict(words)
    assert not whole.exists()
    assert seen.count("0.png") == 1
    predict(words)
    assert seen.count("0.png") == 1  # of a part that was done
    read = pd.read_csv if kind == "csv" else pd.read_parquet
    whole.with_name("expected").write_bytes(expected)
    pd.testing.assert_frame_equal(read(whole), read(whole.with_name("expected")), rtol=1e-5)
    assert len(pd.read_csv(whole.with_name("out-broken.csv"))) == 2


def test_parts_of_other_settings_are_not_gone_on_with(run: Run, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "PART", 2)
    with monkeypatch.context() as patch:
        patch.setattr("ordinalclip.inference.stream.write_predictions", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            predict(typed(run, images))
    out = predict(typed(run, images, "probs=false", "top=2"))
    assert "top2_prob" in pd.read_csv(out)
    assert not any(name.startswith("p_") for name in pd.read_csv(out))


def interrupted(words: list[str]) -> None:
    """Killed between the last part and the table."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ordinalclip.inference.stream.write_predictions", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            predict(words)


@pytest.mark.slow
@pytest.mark.parametrize("change", ["one more", "one less", "another order", "a torn part"])
def test_other_images_than_before_are_seen(
    run: Run, images: Path, monkeypatch: pytest.MonkeyPatch, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A folder may have changed since a prediction of it was killed: each image still has one row, its own."""
    monkeypatch.setattr(stream, "PART", 3)
    interrupted(typed(run, images))
    if change == "one more":
        shutil.copy(images / "7.png", images / "3b.png")
    elif change == "one less":
        (images / "0.png").unlink()
        (images / "1.png").unlink()
        (images / "3.png").unlink()
        (images / "4.png").unlink()
    elif change == "another order":
        (images / "0.png").rename(images / "8.png")
    else:
        part = images.parent / ".out.csv.parts" / "000002.parquet"
        part.write_bytes(part.read_bytes()[:100])
    with caplog.at_level("INFO", "ordinalclip"):
        resumed = pd.read_csv(predict(typed(run, images)))
    anew = pd.read_csv(predict([*typed(run, images), f"out={images.parent / 'anew.csv'}"]))
    pd.testing.assert_frame_equal(resumed, anew, rtol=1e-5)
    assert len(resumed) == len(list(images.iterdir())) - 2
    if change == "a torn part":
        assert "8 images, 6 of them before" in caplog.text  # nor was 9.png of another part, which is broken


@pytest.mark.slow
def test_another_models_parts_are_not_gone_on_with(run: Run, images: Path, tmp_path: Path) -> None:
    """Two exports of a run, alike in all but their ranks."""
    ours, finer = (
        export([f"run={run.directory}", f"num_ranks={number}", f"out={tmp_path / str(number)}"]) for number in (5, 9)
    )
    interrupted([*typed(run, images), f"run={ours}"])
    assert "p_0.5" in pd.read_csv(predict([*typed(run, images), f"run={finer}"]))


@pytest.mark.slow
def test_an_image_that_was_broken_is_looked_at_again(
    run: Run, images: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A share that was away for a while; one part has a sound image beside it, one has none."""
    monkeypatch.setattr(stream, "PART", 3)
    (images / "8.png").touch()
    interrupted(typed(run, images))
    for name in ("2b", "8", "9"):
        shutil.copy(images / "2.png", images / f"{name}.png")
    with caplog.at_level("INFO", "ordinalclip"):
        resumed = pd.read_csv(predict(typed(run, images)))
    assert "11 images, 8 of them before" in caplog.text
    assert not (images.parent / "out-broken.csv").exists()
    pd.testing.assert_frame_equal(resumed, pd.read_csv(predict(typed(run, images, "overwrite=true"))), rtol=1e-5)


def test_a_list_of_broken_images_is_not_overwritten_either(run: Run, images: Path) -> None:
    listed = images.parent / "out-broken.csv"
    listed.write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"out-broken\.csv is there already"):
        predict(typed(run, images))
    assert listed.read_text(encoding="utf-8") == "mine"
    for name in ("2b.png", "9.png"):
        (images / name).unlink()
    predict(typed(run, images, "overwrite=true"))
    assert not listed.exists()  # it would be read as of these predictions


def test_a_path_that_no_file_has_and_an_answer_that_is_no_number_cost_their_rows_only(
    run: Run, images: Path, model: RankModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = images.parent / "table.csv"
    table.write_bytes(b"path\nimages/0.png\nimages/a\0b.png\nimages/1.png\nimages/2.png\n")
    third = model.pixels(images / "1.png")
    logits = model.logits
    broken = replace(model, logits=lambda x: logits(x).where((x != third).any((1, 2, 3))[:, None], float("nan")))
    with pytest.raises(DataError, match=r"not finite \(image 1 of 2"):
        broken.predict([images / "0.png", images / "1.png"])
    monkeypatch.setattr("ordinalclip.inference.opening.load", lambda *_, **__: broken)
    out = predict([*typed(run, images), f"images={table}"])
    assert [Path(path).name for path in pd.read_csv(out)["path"]] == ["0.png", "2.png"]
    told = pd.read_csv(images.parent / "out-broken.csv")["error"]
    assert told.tolist() == ["file not found", "the model answers with numbers that are not finite"]


def test_no_more_than_a_window_of_decoded_images_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alive, most, lock = 0, 0, threading.Lock()

    def count(change: int) -> None:
        nonlocal alive, most
        with lock:
            alive += change
            most = max(most, alive)

    class Counting(RankModel):
        def pixels(self, image: str) -> torch.Tensor:
            pixels = torch.zeros(3, 8, 8)
            count(1)
            weakref.finalize(pixels, count, -1)
            return pixels

    monkeypatch.setattr(stream, "num_threads", lambda: 2)
    worked = stream.predict_parts(
        made_model(5, cls=Counting), map(str, range(300)), tmp_path, {}, stream.StreamOptions(batch_size=8)
    )
    assert worked == 300
    assert most <= 8 + 8  # decoded ahead, and the batch that is computed
    assert alive == 0


def test_ctrl_c_does_not_wait_for_the_images_that_are_queued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    class Slow(RankModel):
        def pixels(self, image: str) -> torch.Tensor:
            seen.append(image)
            if image == "0":
                raise KeyboardInterrupt
            time.sleep(0.05)
            return torch.zeros(3, 8, 8)

    monkeypatch.setattr(stream, "num_threads", lambda: 1)
    with pytest.raises(KeyboardInterrupt):
        stream.predict_parts(
            made_model(5, cls=Slow), map(str, range(64)), tmp_path, {}, stream.StreamOptions(batch_size=64)
        )
    assert len(seen) < 64


def test_where_no_image_can_be_read(run: Run, images: Path) -> None:
    for index in range(8):
        (images / f"{index}.png").unlink()
    with pytest.raises(DataError, match=r"none of the 2 images can be read; .*out-broken\.csv says why"):
        predict(typed(run, images))
    assert len(pd.read_csv(images.parent / "out-broken.csv")) == 2
    assert not (images.parent / "out.csv").exists()


def test_a_name_of_other_bytes_than_utf_8(run: Run, images: Path) -> None:
    os.rename(images / "0.png", os.fsencode(images) + b"/\xff.png")
    for kind in ("csv", "parquet"):
        out = predict([*typed(run, images), f"out={images.parent / f'{kind}.{kind}'}"])
        paths = (pd.read_csv if kind == "csv" else pd.read_parquet)(out)["path"]
        assert len(paths) == 8
        assert rf"{images}/\xff.png" in paths.tolist()


@pytest.mark.slow
def test_the_best_of_a_sweep(run: Run, images: Path, folder: Path) -> None:
    words = [*typed(run, images)[1:], f"paths.runs={folder / 'runs'}"]
    assert predict([*words, "run=best:metric=val/mae"]).is_file()
    for asked, told in (
        ("best:sweep=none", "there is no sweep none"),
        ("best:metric=test/mae", "a model is not chosen on test"),
        ("best:metrics=val/mae", "metrics is no part of it"),
        ("best:metric=val/none", "runs is finished and has val/none"),
        ("mlflow:123", "is not in sqlite"),
    ):
        with pytest.raises(ConfigError, match=told):
            predict([*words, f"run={asked}", "overwrite=true"])


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("images=", "which images?"),
        ("imagse=x", "there is no such key"),
        ("imagse=x", "did you mean images"),
        ("out=here.xlsx", "no format"),
        ("top=-1", "no such number"),
        ("top=99", "more than there are ranks"),
        ("probs=maybe", "neither true nor false"),
        ("level=2", "is no share"),
        ("level=often", "is no share"),
        ("level=0.5", "not among the levels that the run was calibrated for"),
    ],
)
def test_mistakes(run: Run, images: Path, word: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        predict([*typed(run, images), word])


def test_what_is_there_is_not_overwritten(run: Run, images: Path) -> None:
    out = images.parent / "out.csv"
    out.write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match="is there already"):
        predict(typed(run, images))
    assert out.read_text(encoding="utf-8") == "mine"
    assert len(pd.read_csv(predict(typed(run, images, "overwrite=true")))) == 8


@pytest.mark.slow
def test_help_and_mistakes_take_no_torch(tmp_path: Path) -> None:
    code = "import sys; from ordinalclip.predict import main; sys.argv = ['predict', *sys.argv[1:]]\n"
    code += "try: main()\nexcept SystemExit as end: print(end.code)\nassert 'torch' not in sys.modules"
    for words, told in (["--help"], "images=IMAGES"), (["run=x", "images=none"], "2"):
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert told in done.stdout
