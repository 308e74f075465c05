"""A whole run with a text tower that reads other words than CLIP's: its tokenizer's files, its special tokens."""

import shutil
from pathlib import Path

import numpy as np
import open_clip
import pytest
from safetensors.torch import load_file

import ordinalclip
from ordinalclip.backbones import load
from ordinalclip.backbones.weights import tables as openclip_table
from ordinalclip.errors import ConfigError
from ordinalclip.execution.job import run_job
from ordinalclip.export import export
from ordinalclip.preparation.prepare import Job, prepare
from tests.backbones.architectures import small_model, write_tokenizer
from tests.conftest import Compose

PROMPTS = {
    "names": ("prompt=rank", "prompt.num_base_ranks=3", "prompt.interpolation=inv_prop"),
    "given names": (
        "prompt=rank",
        "prompt.num_base_ranks=2",
        "prompt.base_rank_names=[very old,'5']",
        "prompt.ending=' years.'",
        "prompt.rank_position=middle",
    ),
    "fixed": ("prompt=fixed",),
}
BACKBONES = {"siglip_b16": "ViT-B-16-SigLIP", "xlm_roberta_b32": "xlm-roberta-base-ViT-B-32"}


@pytest.fixture
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tokenizer of a small model, which is then among open_clip's."""
    (tmp_path / "model_configs").mkdir()
    _, name, folder = small_model(request.param, tmp_path)
    shutil.copy(tmp_path / f"{name}.json", tmp_path / "model_configs")
    shutil.copy(Path(open_clip.__file__).parent / "pretrained.py", tmp_path)
    monkeypatch.setattr(openclip_table, "open_clip_folder", lambda: tmp_path)
    assert folder is not None
    return folder


def job(compose_cfg: Compose, backbone: str, folder: Path, *overrides: str) -> Job:
    model = f"backbone.model=small-{BACKBONES[backbone]}"
    own = (f"backbone={backbone}", model, "backbone.weights=random", "backbone.tag=null")
    return prepare(compose_cfg(*own, f"backbone.tokenizer={folder}", "epochs=1", *overrides))


@pytest.mark.slow
@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize(("backbone", "folder"), BACKBONES.items(), ids=BACKBONES, indirect=["folder"])
def test_a_run_from_start_to_end(compose_cfg: Compose, backbone: str, folder: Path, prompt: str) -> None:
    made = job(compose_cfg, backbone, folder, *PROMPTS[prompt])
    run_job(made, in_sweep=True)
    assert made.run.state() == "finished"
    assert np.isfinite(made.run.read_json("test_stats.json")["test/mae"])
    features = load_file(made.run.directory / "rank_features.safetensors")["rank_features"]
    assert features.shape == (5, 12)
    assert (features[0] - features[-1]).norm() > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(("backbone", "folder"), BACKBONES.items(), ids=BACKBONES, indirect=["folder"])
def test_an_export_is_opened_where_the_tokenizer_is_not(
    compose_cfg: Compose, backbone: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = job(compose_cfg, backbone, folder, "prompt=fixed")
    run_job(made, in_sweep=True)
    images = np.random.default_rng(0).integers(0, 256, (3, 20, 20, 3), dtype=np.uint8)
    expected = ordinalclip.load(made.run.directory, device="cpu").predict(images).probs
    out = export([f"run={made.run.directory}", f"out={tmp_path / 'out'}"])
    assert "tokenizer/" in (out / "README.md").read_text(encoding="utf-8")
    shutil.rmtree(folder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(load, "_BUILT", {})
    assert np.allclose(ordinalclip.load(out, device="cpu").predict(images).probs, expected, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("backbone", "folder"), [("siglip_b16", "ViT-B-16-SigLIP")], indirect=["folder"])
def test_the_tokenizers_content_is_in_the_id_and_its_place_is_not(
    compose_cfg: Compose, backbone: str, folder: Path, tmp_path: Path
) -> None:
    moved = shutil.copytree(folder, tmp_path / "moved")
    other = write_tokenizer(tmp_path / "other", "t5")
    names = [job(compose_cfg, backbone, place).run.directory.name for place in (folder, moved, other)]
    assert names[0] == names[1] != names[2]
    with pytest.raises(ConfigError, match="vocabulary"):
        job(compose_cfg, backbone, tmp_path / "nowhere")
