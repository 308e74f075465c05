import copy
import json
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from onnxruntime import InferenceSession
from PIL import Image

import ordinalclip
from ordinalclip.errors import ConfigError, DataError
from ordinalclip.export import export
from ordinalclip.exporting.compare import moved_share
from ordinalclip.exporting.write import reinterpolated, values_between
from ordinalclip.inference.export_folder import MODELS, write_sums
from ordinalclip.inference.exported import load_exported, save_ranker
from ordinalclip.inference.model import ImageRanker, RankModel
from ordinalclip.inference.opening import ranks_of
from ordinalclip.preparation.reopen import load_run, open_record, recorded_cfg
from ordinalclip.runs.run import Run
from tests.made_images import ODD_TAGS, odd_exif
from tests.trained import train


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("export")


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    """With images enough for a temperature and for intervals."""
    words = ["dataset.images_per_rank=40", "protocol.readout=median"]
    return train(folder, "trainable.image=1e-3", "backbone.projection=linear", *words)


@pytest.fixture(scope="module")
def whole(run: Run) -> RankModel:
    return ordinalclip.load(run.directory, device="cpu")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    paths = [tmp_path_factory.mktemp("photos") / f"{index}.png" for index in range(5)]
    for index, path in enumerate(paths):
        pixels = np.random.default_rng(index).integers(0, 256, (40 + index, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    return paths


@pytest.mark.slow
@pytest.mark.parametrize(
    ("format_", "precision", "atol"),
    [
        ("safetensors", "fp32", 1e-6),
        ("safetensors", "fp16", 1e-2),
        ("onnx", "fp32", 1e-5),
        ("onnx", "fp16", 2e-2),
        ("onnx", "int8", 3e-2),
        ("torch_export", "fp32", 1e-5),
        ("torch_export", "fp16", 2e-2),
    ],
)
def test_an_export_says_what_the_run_says(
    run: Run,
    whole: RankModel,
    photos: list[Path],
    tmp_path: Path,
    format_: str,
    precision: str,
    atol: float,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = export([f"run={run.directory}", f"format={format_}", f"precision={precision}", f"out={tmp_path / 'out'}"])
    printed = capsys.readouterr().out
    size = sum((out / name).stat().st_size for name in MODELS.values() if (out / name).is_file()) / 1e6
    assert re.search(rf"size, MB +{size:.1f}   \d+\.\d\n  one image, ms +\d+\.\d   \d+\.\d ", printed)
    assert re.search(r"on 16 images: \S+ of the probability at most, .* off by \S+ ranks", printed, re.DOTALL)
    model = ordinalclip.load(out, device="cpu", trusted=True)
    found, expected = model.predict(photos), whole.predict(photos)
    assert whole.calibration is not None
    assert whole.calibration["temperature"] not in (None, 1.0)
    assert np.allclose(found.probs, expected.probs, atol=atol)
    assert found.coverage == expected.coverage == 0.9
    assert np.isfinite(found.interval()).all()
    if precision == "fp32":
        assert np.array_equal(found.interval(), expected.interval())
    if format_ == "onnx":  # whose second output is what programs without OrdinalCLIP read
        pixels = torch.stack([model.pixels(photo) for photo in photos]).numpy()
        (probs,) = InferenceSession(out / "model.onnx").run(["probs"], {"images": pixels})
        assert np.allclose(probs, expected.probs, atol=atol)
    if format_ == "torch_export":
        with pytest.raises(ConfigError, match="runs code of its maker"):
            ordinalclip.load(out, device="cpu")
    if format_ != "safetensors":  # computed elsewhere than it was written for, a graph does not run at all
        elsewhere = load_exported(out, torch.device("cuda"), trusted=True)
        assert np.array_equal(elsewhere.predict(photos).probs, found.probs)
    assert model.ranks == whole.ranks
    assert not list(tmp_path.glob(".*"))
    sums = subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=out, check=False)
    assert sums.returncode == 0
    card = (out / "MODEL_CARD.md").read_text(encoding="utf-8")
    stats = run.read_json("test_stats.json") or {}
    assert whole.ranks.readout == "median"
    assert f"| MAE in ranks, median | {stats['test/mae_median']:.3f} | " in card
    assert f"{stats['test/constant_mae']:.3f}" in card
    assert "- weights (image and text): random: none, since they were drawn at random\n" in card
    assert (f"how much {precision} differs" in card) == (precision != "fp32")
    assert str(run.directory.parent) not in card
    assert ("trusted" in (out / "README.md").read_text(encoding="utf-8")) == (format_ == "torch_export")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about odd EXIF
def test_the_example_needs_no_torch(folder: Path, photos: list[Path], tmp_path: Path) -> None:
    run = train(folder, "prompt=linear")
    out = export([f"run={run.directory}", "format=onnx", f"out={tmp_path / 'out'}"])
    code = "import sys, runpy; sys.argv = ['predict.py', *sys.argv[2:]]; "
    code += f"runpy.run_path({str(out / 'predict.py')!r}); assert 'torch' not in sys.modules"
    photos = [*photos, *(tmp_path / f"{index}.jpg" for index in range(len(ODD_TAGS)))]
    for path, tag in zip(photos[-len(ODD_TAGS) :], ODD_TAGS.values(), strict=True):
        Image.open(photos[0]).save(path, exif=odd_exif(tag))
    words = [sys.executable, "-c", code, "-", *map(str, photos)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    expected = ordinalclip.load(run.directory, device="cpu").predict(photos)
    for line, photo, one in zip(done.stdout.splitlines(), photos, expected, strict=True):
        said, expectation = line.removeprefix(f"{photo} ").split(" [")[0].rsplit(" ", 2)[:2]
        assert (said, float(expectation)) == (one.name, pytest.approx(one.expectation, rel=1e-3))
        assert np.allclose([float(word) for word in line.split("[")[1].strip("]\n").split()], one.probs, atol=2e-3)


@pytest.fixture(scope="module")
def exported(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export([f"run={run.directory}", f"out={tmp_path_factory.mktemp('out') / 'out'}"])


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "README.md"])
@pytest.mark.parametrize("harm", ["changed", "truncated", "gone"])
def test_a_file_that_is_not_what_was_written_is_refused(exported: Path, tmp_path: Path, name: str, harm: str) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(exported, folder)
    assert ordinalclip.load(folder, device="cpu").facts["format"] == "safetensors"
    file = folder / name
    if harm == "gone":
        file.unlink()
        if name == "config.json":  # then it is no exported folder at all
            with pytest.raises(ConfigError, match="there is no such run"):
                ordinalclip.load(folder)
            return
    elif harm == "truncated":
        file.write_bytes(file.read_bytes()[:-3])
    else:
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    with pytest.raises(DataError, match=name.replace(".", r"\.")):
        ordinalclip.load(folder, device="cpu")


def test_a_folder_without_sums_is_refused(exported: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(exported, folder)
    (folder / "SHA256SUMS").unlink()
    with pytest.raises(DataError, match=r"SHA256SUMS: cannot be read"):
        ordinalclip.load(folder, device="cpu")


class Harm:
    """What pickle runs when it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("builder", ["hydra.utils.instantiate", "ordinalclip.backbones.load.get_method"])
def test_config_json_cannot_name_code_to_run(exported: Path, tmp_path: Path, builder: str) -> None:
    """A folder whose sums are right, by somebody who wants their pickle to be read."""
    folder, mark = tmp_path / "copy", tmp_path / "mark"
    shutil.copytree(exported, folder)
    (folder / "x.pkl").write_bytes(pickle.dumps(Harm(mark)))
    harm = {"_target_": "pandas.read_pickle", "_args_": [str(folder / "x.pkl")]}
    content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    content["backbone"] = {"_target_": builder, "weights": "random", "config": {"_target_": "builtins.dict", "a": harm}}
    (folder / "config.json").write_text(json.dumps(content), encoding="utf-8")
    write_sums(folder)
    with pytest.raises(ConfigError, match=r"(?s)may do anything.*trusted=true"):
        ordinalclip.load(folder, device="cpu")
    assert not mark.exists()


def test_config_json_cannot_name_files_of_weights(exported: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(exported, folder)
    content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    content["backbone"]["weights"] = str(tmp_path / "evil.pt")
    (folder / "config.json").write_text(json.dumps(content), encoding="utf-8")
    write_sums(folder)
    assert ordinalclip.load(folder, device="cpu").facts["format"] == "safetensors"  # it was not looked for


def test_a_folder_cannot_point_out_of_itself(exported: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(exported, folder)
    sums = folder / "SHA256SUMS"
    sums.write_text(sums.read_text(encoding="utf-8") + f"{'0' * 64}  ../other\n", encoding="utf-8")
    with pytest.raises(DataError, match="not in the folder"):
        ordinalclip.load(folder, device="cpu")


@pytest.mark.parametrize(("harm", "told"), [(float("nan"), "not finite"), (0.2, "of the probability lies on other")])
def test_an_export_that_is_not_the_model_is_not_kept(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: float, told: str
) -> None:
    """Fp16 overflows to nan, which is larger than no tolerance."""

    def write(ranker: ImageRanker, file: Path, *, half: bool) -> None:
        changed = copy.deepcopy(ranker)
        changed.rank_features += harm * torch.arange(len(changed.rank_features))[:, None]
        save_ranker(changed, file, half=half)

    monkeypatch.setattr("ordinalclip.exporting.write.save_ranker", write)
    with pytest.raises(DataError, match=rf"(?s)not kept: .*{told}.*choose another precision"):
        export([f"run={run.directory}", "precision=fp16", f"out={tmp_path / 'out'}"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("num_ranks", [5, 101, 1001])
def test_a_tolerance_means_the_same_for_any_number_of_ranks(num_ranks: int) -> None:
    """Distributions of the same form on a finer scale: moved by as much of the scale, they differ by as much."""
    places = torch.linspace(0, 1, num_ranks, dtype=torch.float64)
    before, after = ((-((places - mean) ** 2) / (2 * 0.2**2)).softmax(0)[None] for mean in (0.4, 0.6))
    assert moved_share(before, after).item() == pytest.approx(0.36, abs=0.03)
    assert moved_share(before, before).item() == 0


def test_ranks_of_training_are_found_again_between_others(run: Run) -> None:
    record = open_record(run, recorded_cfg(run))
    own = ranks_of(record)
    trained = load_run(record).rank_features()
    same, ranks = reinterpolated(record, own, own.scale)
    assert torch.allclose(same, trained, atol=1e-6)
    assert ranks.scale == own.scale
    finer, ranks = reinterpolated(record, own, values_between(own, 2 * len(own.scale) - 1))
    assert torch.allclose(finer[::2], trained, atol=1e-5)
    assert ranks.scale[1] == pytest.approx((own.scale[0] + own.scale[1]) / 2)


def test_ranks_at_other_values(run: Run, photos: list[Path], tmp_path: Path) -> None:
    out = export([f"run={run.directory}", "values=[0,0.5,1.5,4]", f"out={tmp_path / 'out'}"])
    found = ordinalclip.load(out, device="cpu").predict(photos)
    assert found.ranks.names == ("0", "0.5", "1.5", "4")
    assert found.coverage is None
    assert "No scores are recorded" in (out / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert json.loads((out / "config.json").read_text(encoding="utf-8"))["calibration"] is None


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["format=tflite"], "there is no such format"),
        (["precision=int4"], "there is no such precision"),
        (["precision=int8"], "is not made for format=safetensors"),
        (["values=[1,a]"], "are no numbers"),
        (["values=[3,1]"], "cannot be ranks of this run"),
        (["values=[0,99]"], "cannot be ranks of this run"),
        (["values=[0,nan,4]"], "cannot be ranks of this run"),
        (["num_ranks=2"], "(?s)3 base ranks, more than the 2.*request 3 ranks or more"),
        (["overwrite=maybe"], "neither true nor false"),
        (["out=/proc/none/out"], "cannot be written to"),
        (["num_ranks=9", "values=[1,2]"], "one of the two"),
        (["kind=onnx"], "there is no such key"),
    ],
)
def test_mistakes(run: Run, tmp_path: Path, words: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told.replace("[", r"\[")):
        export([f"run={run.directory}", f"out={tmp_path / 'out'}", *words])
    assert not (tmp_path / "out").exists()


def test_what_is_there_stays(exported: Path, run: Run) -> None:
    with pytest.raises(ConfigError, match="is there already"):
        export([f"run={run.directory}", f"out={exported}"])


@pytest.mark.parametrize("config", [None, '{"model_type": "clip"}', "[]", '{"format": "onnx"}', "torn"])
def test_a_folder_of_something_else_is_never_replaced(run: Run, tmp_path: Path, config: str | None) -> None:
    """Also where it has a config.json, as checkpoints of other libraries have."""
    (tmp_path / "thesis.txt").touch()
    if config is not None:
        (tmp_path / "config.json").write_text(config, encoding="utf-8")
        with pytest.raises(DataError, match=r"config\.json|SHA256SUMS"):
            ordinalclip.load(tmp_path)
    with pytest.raises(ConfigError, match="is no exported folder"):
        export([f"run={run.directory}", f"out={tmp_path}", "overwrite=true"])
    assert (tmp_path / "thesis.txt").exists()


def test_an_export_is_replaced_unless_it_holds_other_files_too(exported: Path, run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(exported, folder)
    (folder / "thesis.txt").touch()
    words = [f"run={run.directory}", f"out={folder}", "overwrite=true", "values=[0,1.5,4]"]
    with pytest.raises(ConfigError, match="holds other files too"):
        export(words)
    (folder / "thesis.txt").unlink()
    assert len(ordinalclip.load(export(words), device="cpu").ranks.names) == 3


@pytest.mark.slow
def test_prompts_without_base_ranks_have_no_others(folder: Path, tmp_path: Path) -> None:
    run = train(folder, "prompt=linear")
    with pytest.raises(ConfigError, match="has no base ranks to interpolate from"):
        export([f"run={run.directory}", "num_ranks=9", f"out={tmp_path / 'out'}"])
