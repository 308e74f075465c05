"""Checkpoints of the paper's structure, imported and opened again: the numbers of its formulas, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
import yaml
from torch import Tensor, nn

import ordinalclip
from ordinalclip.backbones import load
from ordinalclip.backbones.load import load_backbone
from ordinalclip.backbones.weights import tables as openclip_table
from ordinalclip.errors import ConfigError, DataError
from ordinalclip.evaluate import evaluate
from ordinalclip.export import export
from ordinalclip.import_reference import import_reference
from ordinalclip.preparation.reopen import Record, load_run, open_record, recorded_cfg
from ordinalclip.reference.checkpoint import rename
from ordinalclip.reference.config import CLIP_MODELS, backbone_config, read_settings
from ordinalclip.runs.run import Run
from tests.backbones.makers import tiny_open_clip
from tests.reference import slow
from tests.reference.made import NAMES, checkpoint, config, like

RANKS = 5
SCALE = 1 / 0.07


@pytest.fixture(autouse=True)
def tiny(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CLIP called `tiny`, there and here: D = 12, W = 16 on two heads, images of 16 pixels."""
    folder, real = tmp_path_factory.mktemp("open_clip"), openclip_table.open_clip_folder()
    (folder / "model_configs").mkdir()
    for file in (real / "pretrained.py", *(real / "model_configs").glob("*.json")):
        (folder / file.relative_to(real)).symlink_to(file)
    monkeypatch.setattr(openclip_table, "open_clip_folder", lambda: folder)
    table, name = openclip_table._openclip_table(), tiny_open_clip(folder / "model_configs")
    monkeypatch.setattr(
        openclip_table, "_openclip_table", lambda: table | {name: table["RN50"]}
    )  # OpenAI's, as all of theirs
    monkeypatch.setitem(CLIP_MODELS, "tiny", name)
    monkeypatch.setattr(load, "_BUILT", {})


def clip_state(path: Path, clip: str = "random") -> tuple[dict[str, Tensor], Tensor]:
    """Image and text tower of the CLIP that a configuration trains from, by the checkpoint's names; its words."""
    backbone = load_backbone(backbone_config(read_settings(path), clip), cache_dir=path.parent / "cache")
    own = backbone.state_dict()
    names = {"image.": "image_encoder.", "text.": "text_encoder."}
    state = {
        there + name.removeprefix(here): tensor.clone()
        for name, tensor in own.items()
        for here, there in names.items()
        if name.startswith(here) and name != "text.token_embedding.weight"
    }
    return state, own["text.token_embedding.weight"]


def imported(folder: Path, ckpt: Path, cfg: Path, *words: str) -> Record:
    paths = [f"paths.{name}={folder / name}" for name in ("runs", "data", "cache")]
    return import_reference([f"ckpt={ckpt}", f"config={cfg}", *paths, "tracking=offline", "trainer=cpu", *words])


def reopened(record: Record) -> Any:
    run = Run(record.run.directory)
    return load_run(open_record(run, recorded_cfg(run) | {"paths": record.cfg["paths"]}))


def our_logits(record: Record, images: Tensor) -> Tensor:
    with torch.inference_mode():
        return reopened(record)(images).logits


def random(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


PROMPTS: dict[str, tuple[dict[str, Any], list[int]]] = {
    "rank, linear": ({"num_tokens_per_rank": 2}, [2] * RANKS),
    "rank, middle, inv_prop": (
        {"rank_tokens_position": "middle", "interpolation_type": "inv_prop", "num_base_ranks": 2},
        [1] * RANKS,
    ),
    "rank, front, normal, own contexts": (
        {"rank_tokens_position": "front", "interpolation_type": "normal", "rank_specific_context": True},
        [1] * RANKS,
    ),
    "rank, one base rank": (
        {"num_base_ranks": 1, "num_tokens_per_rank": [3], "rank_specific_context": True},  # else all ranks are one
        [3] * RANKS,
    ),
    "plain, names": ({"type": "PlainPromptLearner", "init_rank_path": "names.txt"}, [1, 2, 3, 1, 2]),
    "plain, middle, numbers": (
        {"type": "PlainPromptLearner", "rank_tokens_position": "middle", "num_tokens_per_rank": [1, 3, 2, 1, 2]},
        [1, 3, 2, 1, 2],
    ),
    "plain, front, own contexts": (
        {"type": "PlainPromptLearner", "rank_tokens_position": "front", "rank_specific_context": True},
        [1] * RANKS,
    ),
}


def prompt_state(prompt: dict[str, Any], counts: list[int], width: int) -> dict[str, Tensor]:
    plain = prompt.get("type") == "PlainPromptLearner"
    rows = RANKS if plain else prompt.get("num_base_ranks", 3)
    context = (RANKS, 4, width) if prompt.get("rank_specific_context") else (4, width)
    state = {
        "prompt_learner.context_embeds": random(1, *context),
        "prompt_learner.rank_embeds": random(2, rows, max(counts), width),
        "logit_scale": torch.tensor(SCALE).log(),
    }
    if not plain:
        kind = prompt.get("interpolation_type", "linear")
        state["interpolated"] = slow.interpolated(state["prompt_learner.rank_embeds"], RANKS, kind)
    return state


def written(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if name != "interpolated"}


@pytest.mark.slow
@pytest.mark.parametrize("name", PROMPTS)
def test_logits_are_those_of_the_formulas(tmp_path: Path, name: str) -> None:
    prompt, counts = PROMPTS[name]
    (tmp_path / "names.txt").write_text("7\n25\n100\nnew\nvery_old\n")
    cfg = config(tmp_path, **prompt)
    towers, words = clip_state(cfg)
    state = like(towers, torch.Generator().manual_seed(0)) | prompt_state(prompt, counts, 16)
    record = imported(tmp_path, checkpoint(tmp_path, written(state)), cfg, "clip=random")
    images = random(3, 2, 3, 16, 16)
    image_BD = torch.stack([slow.vision_transformer(state, image, heads=2) for image in images])
    rank_RD = slow.rank_features(state, words, counts, prompt.get("rank_tokens_position", "tail"), heads=2)
    expected = slow.logits(image_BD, rank_RD, SCALE)
    assert expected.std(dim=1).min() > 0.1  # sentences do differ
    torch.testing.assert_close(our_logits(record, images).double(), expected, rtol=1e-5, atol=1e-5)
    assert record.rank_names == (tuple(NAMES) if "names" in name else ("0", "1", "2", "3", "4"))


@pytest.mark.slow
def test_the_record_is_that_of_a_finished_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Towers that were not trained stay in the CLIP's file; typed again nothing is done again."""
    cfg = config(tmp_path)
    prompt, counts = PROMPTS["rank, linear"]
    towers, _ = clip_state(cfg)
    ckpt = checkpoint(tmp_path, towers | written(prompt_state(prompt, counts, 16)))
    record = imported(tmp_path, ckpt, cfg, "clip=random")
    run = record.run
    assert run.state() == "finished"
    saved = torch.load(run.best_checkpoint, weights_only=True)["state_dict"]
    assert set(saved) == {
        "model.prompt.sentence.context",
        "model.prompt.base_ranks",
        "model.backbone.logit_scale",
    }
    assert run.read_json("labels.json")["selected_on"] == run.status()["selected_on"] == "test"
    facts = run.read_json("provenance.json")["imported"]
    assert facts["files"]["ckpt"]["path"] == str(ckpt)
    assert len(facts["files"]["ckpt"]["sha256"]) == 64
    assert [defect.partition(":")[0] for defect in facts["defects"]] == [
        "validation and test are the same file",
        "images for CLIP's image tower were normalized with ImageNet's mean and std instead of CLIP's",
    ]
    assert facts["config"]["trainer_cfg"]["max_epochs"] == 100
    assert (run.directory / "figures" / "similarity.png").exists()
    assert "best" in run.read_json("ordinality.json")
    assert f"run     {run.directory}" in capsys.readouterr().out
    before = run.status()
    assert imported(tmp_path, ckpt, cfg, "clip=random").run.directory == run.directory
    assert run.status() == before
    out = export([f"run={run.directory}", f"out={tmp_path / 'out'}"])  # on made-up images
    card = (out / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "chosen on the test split" in card or "selected on the test split" in card
    assert "No scores are recorded" in card
    images = np.random.default_rng(0).integers(0, 256, (2, 20, 30, 3), dtype=np.uint8)
    found = [ordinalclip.load(place, device="cpu").predict(images).probs for place in (run.directory, out)]
    assert np.allclose(*found, atol=1e-6)
    with pytest.raises(DataError, match="imported without its data set"):
        evaluate([f"run={run.directory}", *(f"paths.{name}={tmp_path / name}" for name in ("runs", "data", "cache"))])


@pytest.mark.slow
def test_it_is_tested_at_once_where_there_are_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cfg = config(tmp_path)
    prompt, counts = PROMPTS["rank, linear"]
    towers, _ = clip_state(cfg)
    state = like(towers, torch.Generator().manual_seed(0)) | prompt_state(prompt, counts, 16)
    data = ("dataset=gauge", "dataset.num_ranks=5", "dataset.images_per_rank=12", "dataset.size=32", "num_workers=0")
    record = imported(tmp_path, checkpoint(tmp_path, written(state)), cfg, "clip=random", *data)
    run = record.run
    defects = run.read_json("provenance.json")["imported"]["defects"]
    assert any("text tower was frozen, but is not that of the CLIP" in defect for defect in defects)
    stats = run.read_json("test_stats.json")
    assert stats["test/num_images"] > 0
    assert (run.directory / "predictions.parquet").exists()
    assert (run.directory / "figures" / "confusion.png").exists()
    shown = capsys.readouterr().out
    assert "MAE in ranks, expectation" in shown
    assert "selected on test" in shown
    paths = [f"paths.{name}={tmp_path / name}" for name in ("runs", "data", "cache")]
    again = evaluate([f"run={run.run_id}", "trainer=cpu", "num_workers=0", *paths])
    assert again == pytest.approx(stats, abs=1e-6, nan_ok=True)
    with pytest.raises(DataError, match="gauge has 4 ranks, the checkpoint 5"):
        imported(tmp_path, tmp_path / "last.ckpt", cfg, "clip=random", data[0], "dataset.num_ranks=4", *data[2:])


def torchvision_state(model: str, embed_dim: int, last: str) -> tuple[nn.Module, dict[str, Tensor]]:
    """A network with random weights whose last layer is a Linear without bias, and its state."""
    net: nn.Module = torchvision.models.get_model(model, weights=None)
    old = net.get_submodule(last)
    assert isinstance(old, nn.Linear)
    net.set_submodule(last, nn.Linear(old.in_features, embed_dim, bias=False))
    state = like(net.state_dict(), torch.Generator().manual_seed(5))
    net.load_state_dict(state)
    return net.eval(), {f"image_encoder.{name}": tensor for name, tensor in state.items()}


@pytest.mark.slow
def test_the_cnn_baseline(tmp_path: Path) -> None:
    cfg = config(tmp_path, model={"type": "Baseline", "image_encoder_name": "resnet18"})
    net, state = torchvision_state("resnet18", 12, "fc")
    head_RD = random(4, RANKS, 12)
    record = imported(tmp_path, checkpoint(tmp_path, state | {"last_project.weight": head_RD}), cfg)
    images = random(3, 2, 3, 64, 64)
    with torch.inference_mode():
        expected = slow.logits(net(images), head_RD, 100.0)
    torch.testing.assert_close(our_logits(record, images).double(), expected, rtol=1e-5, atol=1e-4)
    assert any(
        "random initial values" in defect for defect in record.run.read_json("provenance.json")["imported"]["defects"]
    )
    assert record.cfg["trainable"]["head"] is None


@pytest.mark.slow
def test_the_towers_of_the_papers_table(tmp_path: Path) -> None:
    """RN50's text tower beside torchvision's ResNet-50, at their true sizes."""
    cfg = config(tmp_path, model={"text_encoder_name": "RN50", "image_encoder_name": "resnet50"})
    towers, words = clip_state(cfg)
    text = {name: tensor for name, tensor in towers.items() if name.startswith("text_encoder.")}
    net, image = torchvision_state("resnet50", 1024, "fc")
    prompt, counts = PROMPTS["rank, linear"]
    state = like(text, torch.Generator().manual_seed(0)) | image | prompt_state(prompt, counts, 512)
    record = imported(tmp_path, checkpoint(tmp_path, written(state)), cfg, "clip=random")
    images = random(3, 2, 3, 64, 64)
    with torch.inference_mode():
        exact = {name: tensor.double() for name, tensor in state.items() if not name.startswith("image_encoder.")}
        rank_RD = slow.rank_features(exact, words.double(), counts, "tail", heads=8)
        expected = slow.logits(net(images), rank_RD, SCALE)
    torch.testing.assert_close(our_logits(record, images).double(), expected, rtol=1e-5, atol=1e-5)


def test_every_tensor_of_vgg16_beside_rn50s_text_has_its_place(tmp_path: Path) -> None:
    """The paper's MORPH II rows, by VGG-16's true names and made shapes: its last layer becomes the projection."""
    cfg = config(tmp_path, model={"text_encoder_name": "RN50", "image_encoder_name": "vgg16"})
    with torch.device("meta"):
        names = [name for name in torchvision.models.vgg16().state_dict() if name != "classifier.6.bias"]
    image = {name: torch.full((1,), float(number)) for number, name in enumerate(names)}
    rest = {
        "text_encoder.ln_final.weight": "backbone.text.ln_final.weight",
        "prompt_learner.context_embeds": "prompt.sentence.context",
        "prompt_learner.rank_embeds": "prompt.base_ranks",
        "logit_scale": "backbone.logit_scale",
    }
    other = -torch.ones(1)
    state = {f"image_encoder.{name}": tensor for name, tensor in image.items()} | dict.fromkeys(rest, other)
    places = {name: f"backbone.image.tower.{name}" for name in names[:-1]}
    places |= {"classifier.6.weight": "backbone.projection.linear.weight"}
    own = {name: torch.zeros(1) for name in (*places.values(), *rest.values())}
    found = rename(state, read_settings(cfg), [], own)
    assert found == {place: image[name] for name, place in places.items()} | dict.fromkeys(rest.values(), other)


@pytest.mark.slow
def test_what_is_refused(tmp_path: Path) -> None:
    prompt, counts = PROMPTS["plain, names"]
    cfg = config(tmp_path, **prompt)
    towers, _ = clip_state(cfg)
    state = towers | prompt_state(prompt, counts, 16)
    ckpt = checkpoint(tmp_path, state)
    names = tmp_path / "five.txt"
    names.write_text("1\n2\n3\n4\n5\n")

    def refused(told: str, *words: str, ckpt: Path = ckpt, cfg: Path = cfg) -> None:
        with pytest.raises(ConfigError, match=told):
            imported(tmp_path, ckpt, cfg, *words)

    refused("clip=: the checkpoint has no embeddings of words; those of tiny")
    refused("rank_names=null: the ranks were initialized from the names in names.txt", "clip=random")
    refused("5 ranks of up to 1 tokens\n  allowed: as in the checkpoint", "clip=random", f"rank_names={names}")
    refused("seed=3: there is no such key", "seed=3")
    refused("there is no such file", ckpt=tmp_path / "gone.ckpt")
    refused("cannot be read", ckpt=names)
    other = tmp_path / "other"
    other.mkdir()
    base = config(other, type="RankPromptLearner", num_base_ranks=4)
    refused("rank_embeds has 5 base ranks; its config has 4", "clip=random", cfg=base)
    own = config(other, rank_specific_context=True)
    refused(r"context_embeds is of shape \[4, 16\], which contradicts its config", "clip=random", cfg=own)
    ours = checkpoint(other, {})
    refused("is no checkpoint of the paper's code", "clip=random", ckpt=ours)
    state.pop("text_encoder.ln_final.bias")
    names.write_text("7\n25\n100\nnew\nvery old\n")
    refused("has no values for 1 of", "clip=random", f"rank_names={names}", ckpt=checkpoint(other, state))
    state["text_encoder.ln_final.bias"] = torch.zeros(7)
    refused(
        r"text.ln_final.bias is of shape \[7\]", "clip=random", f"rank_names={names}", ckpt=checkpoint(other, state)
    )
    assert not list((tmp_path / "runs").glob("*"))


class Anything:
    """An object that is no tensor."""


@pytest.mark.slow
def test_objects_in_a_checkpoint_are_read_only_where_it_is_trusted(tmp_path: Path) -> None:
    cfg = config(tmp_path)
    prompt, counts = PROMPTS["rank, linear"]
    towers, _ = clip_state(cfg)
    state = towers | written(prompt_state(prompt, counts, 16))
    ckpt = checkpoint(tmp_path, state, hyper_parameters=Anything())
    with pytest.raises(ConfigError, match="trust=true reads the objects in it, which may run code"):
        imported(tmp_path, ckpt, cfg, "clip=random")
    with pytest.raises(ConfigError, match="trust=yes: is neither true nor false"):
        imported(tmp_path, ckpt, cfg, "clip=random", "trust=yes")
    assert imported(tmp_path, ckpt, cfg, "clip=random", "trust=True").run.state() == "finished"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("runner_cfg", "model_cfg", "prompt_learner_cfg", "interpolation_type", "cubic"), "allowed: linear, inv_prop"),
        (("runner_cfg", "model_cfg", "text_encoder_name", "RN51"), "text_encoder_name is RN51"),
        (("data_cfg", "transforms_cfg", "input_size", [256, 256]), "is not supported"),
        (("data_cfg", "transforms_cfg", "input_transforms", ["normalize"]), "has no random_resized_crop"),
        (("data_cfg", None), "has no data_cfg.transforms_cfg"),
    ],
)
def test_configurations_that_cannot_be_expressed(tmp_path: Path, change: tuple[Any, ...], told: str) -> None:
    path = config(tmp_path)
    whole = yaml.safe_load(path.read_text())
    node = whole
    for key in change[:-2]:
        node = node[key]
    node[change[-2]] = change[-1]
    path.write_text(json.dumps(whole))
    with pytest.raises(ConfigError, match=told):
        read_settings(path)
