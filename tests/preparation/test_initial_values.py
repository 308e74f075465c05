"""Initial values from another run: what is refused before anything is loaded, what is loaded, what the record keeps."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

from ordinalclip.config.compose import conf_dir
from ordinalclip.config.identity import identity, run_id
from ordinalclip.errors import ConfigError
from ordinalclip.execution.fit import build_job_model
from ordinalclip.execution.job import run_job
from ordinalclip.preparation.initial_values import find_initial
from ordinalclip.preparation.prepare import prepare
from ordinalclip.prompts.checks import parts_of
from ordinalclip.runs.run import Run
from tests.conftest import Compose

BRIEF = ("epochs=1", "++trainer.limit_batches=1", "dataset.images_per_rank=6")


def train(compose_cfg: Compose, *overrides: str) -> Run:
    job = prepare(compose_cfg(*BRIEF, *overrides))
    run_job(job, in_sweep=True)
    return job.run


def state_of(path: Path) -> dict[str, Tensor]:
    return torch.load(path, weights_only=True)["state_dict"]


@pytest.fixture
def recorded(compose_cfg: Compose) -> Path:
    """The directory of a finished run as far as its record can be read without torch; `config.yaml` decides."""
    return record(compose_cfg())


def record(cfg: dict[str, Any], status: str = "finished", name: str = "gauge-tiny-rank-s0-0123456789") -> Path:
    directory = Path(cfg["paths"]["runs"]) / name
    (directory / "ckpt").mkdir(parents=True)
    for file, text in {
        "config.yaml": yaml.safe_dump(cfg),
        "identity.json": "{}",
        "status.json": f'{{"status": "{status}", "epoch": 2, "epochs": 20}}',
        "ckpt/best.ckpt": "weights",
    }.items():
        (directory / file).write_text(text)
    return directory


def test_no_checkpoint_is_what_there_was_before(compose_cfg: Compose) -> None:
    cfg = compose_cfg()
    assert find_initial(cfg) is None
    assert "init" not in identity(cfg, manifest_hash="m", weights={})


@pytest.mark.slow
def test_a_run_may_be_named_in_four_ways(compose_cfg: Compose, recorded: Path) -> None:
    names = (str(recorded), recorded.name, "'0123456789'", str(recorded / "ckpt" / "best.ckpt"))
    files = [find_initial(compose_cfg(f"init.checkpoint={name}")) for name in names]
    assert files[0] is not None
    assert files[0].path == recorded / "ckpt" / "best.ckpt"
    assert all(file == files[0] for file in files)


@pytest.mark.slow
def test_the_id_depends_on_what_is_in_the_file_and_on_the_parts(compose_cfg: Compose) -> None:
    def id_of(initial: str, *words: str) -> str:
        cfg = compose_cfg("init.checkpoint=somewhere", *words)
        return run_id(identity(cfg, manifest_hash="m", weights={}, initial=initial))

    assert id_of("a") == id_of("a")
    assert len({id_of("a"), id_of("b"), id_of("a", "init.parts=[rank]"), id_of("a", "init.parts=[rank,context]")}) == 4
    assert id_of("a", "init.parts=[rank,context]") == id_of("a", "init.parts=[context,rank]")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["init.parts=[rank]"], "parts of no checkpoint"),
        (["init.checkpoint=012345678"], "there is no such run\n  allowed: 0123456789"),
        (["init.checkpoint=gone.ckpt"], "there is no such file"),
        (["init.checkpoint={run}", "init.parts=[]"], "no part at all"),
        (["init.checkpoint={run}", "prompt=context"], "part rank is of another kind: prompt._target_ is"),
        (["init.checkpoint={run}", "prompt=context"], r"init.parts=\[context,projection\]"),
        (["init.checkpoint={run}", "init.parts=[image]", "backbone=vit_b16"], "part image is of another kind"),
        (["init.checkpoint={run}", "init.parts=[text,head]", "prompt=linear"], "part head is of another kind"),
        (
            ["init.checkpoint={run}", "init.parts=[head]"],
            "head: this run's model has no such part\n  allowed: con",
        ),
        (["init.checkpoint={run}", "init.parts=[context]", "prompt=linear"], "context: this run's model has no such"),
        (
            ["init.checkpoint={run}", "init.parts=[image]"],
            "image: it was frozen there, so it is not in it\n  allowed: ",
        ),
    ],
)
def test_what_is_refused_before_anything_is_loaded(
    compose_cfg: Compose, recorded: Path, words: list[str], told: str
) -> None:
    cfg = compose_cfg(*(word.format(run=recorded) for word in words))
    with pytest.raises(ConfigError, match=told):
        find_initial(cfg)


def test_a_part_that_the_other_runs_prompt_has_not_is_refused(compose_cfg: Compose) -> None:
    heads = record(compose_cfg("prompt=linear"), name="gauge-tiny-linear-s0-0000000003")
    with pytest.raises(ConfigError, match="context: the run that it is to come from has no such part"):
        find_initial(compose_cfg(f"init.checkpoint={heads}", "init.parts=[context]"))


def test_what_a_run_was_given_it_has_though_it_was_frozen_there(compose_cfg: Compose) -> None:
    given = record(compose_cfg("init.checkpoint=another"), name="gauge-tiny-rank-s0-0000000004")
    assert find_initial(compose_cfg(f"init.checkpoint={given}", "init.parts=[image]"))


@pytest.mark.parametrize("option", [path.stem for path in sorted((conf_dir() / "prompt").glob("*.yaml"))])
def test_the_parts_of_every_prompt_of_ours_are_known_without_building_it(compose_cfg: Compose, option: str) -> None:
    from hydra.utils import get_class

    cfg = compose_cfg(f"prompt={option}")["prompt"]
    prompt = object.__new__(get_class(cfg["_target_"]))  # what it is made of is not looked at
    assert parts_of(cfg) == tuple(prompt.parts())
    assert parts_of({"_target_": "my.Prompt", "template": "{name}"}) is None


def test_parts_that_fit_are_taken_from_a_run_that_does_not_fit_as_a_whole(compose_cfg: Compose, recorded: Path) -> None:
    assert find_initial(compose_cfg(f"init.checkpoint={recorded}", "init.parts=[context]", "prompt=context"))


@pytest.mark.slow
def test_unfinished_runs_and_runs_without_a_checkpoint_are_refused(compose_cfg: Compose) -> None:
    half = record(compose_cfg(), status="interrupted", name="half-0000000001")
    with pytest.raises(ConfigError, match=r"is not finished \(interrupted, after epoch 2 of 20\)"):
        find_initial(compose_cfg(f"init.checkpoint={half}"))
    empty = record(compose_cfg(), name="empty-0000000002")
    (empty / "ckpt" / "best.ckpt").unlink()
    with pytest.raises(ConfigError, match="has no checkpoint: nothing was trained in it"):
        find_initial(compose_cfg(f"init.checkpoint={empty}"))


def test_unknown_parts_are_refused_with_those_there_are(compose_cfg: Compose, recorded: Path) -> None:
    with pytest.raises(ConfigError, match=r"init.parts=.*\n.*context, rank, head"):
        prepare(compose_cfg(f"init.checkpoint={recorded}", "init.parts=[ranks]"))


@pytest.mark.slow
def test_what_is_loaded_and_what_is_not(compose_cfg: Compose, caplog: pytest.LogCaptureFixture) -> None:
    source = train(compose_cfg, "backbone.projection=linear", "trainable.image=1e-2", "lr=1e-1")
    trained = state_of(source.best_checkpoint)
    words = (f"init.checkpoint={source.run_id}", "backbone.projection=linear", "seed=1", *BRIEF)
    fresh = build_job_model(prepare(compose_cfg(*words[1:]))).state_dict()
    taken = {"model.prompt.sentence.context", "model.prompt.base_ranks"}

    with caplog.at_level(logging.INFO):
        prompt_only = build_job_model(prepare(compose_cfg(*words, "init.parts=[rank,context]"))).state_dict()
    assert "context, rank; not from it: projection, image, text, logit_scale" in caplog.text
    for name, tensor in prompt_only.items():
        expected = trained[f"model.{name}"] if f"model.{name}" in taken else fresh[name]
        assert torch.equal(tensor, expected), name
    assert not torch.equal(prompt_only["prompt.base_ranks"], fresh["prompt.base_ranks"])

    whole_model = build_job_model(prepare(compose_cfg(*words)))
    whole = whole_model.state_dict()
    assert {f"model.{name}" for name in whole_model.initialised} == trained.keys()
    assert all(torch.equal(whole[name.removeprefix("model.")], tensor) for name, tensor in trained.items())
    # The tower that other runs share is as it was.
    again = build_job_model(prepare(compose_cfg(*words[1:])))
    assert all(torch.equal(tensor, fresh[name]) for name, tensor in again.state_dict().items())
    assert whole_model.backbone.tower_key != again.backbone.tower_key


@pytest.mark.slow
def test_a_frozen_tower_with_other_values_is_in_the_runs_own_checkpoint(compose_cfg: Compose) -> None:
    source = train(compose_cfg, "trainable.image=1e-2")
    tower = {name: tensor for name, tensor in state_of(source.best_checkpoint).items() if ".image." in name}
    words = (f"init.checkpoint={source.directory}", "init.parts=[image]")
    for more in (("prompt=linear",), ("prompt=fixed",)):  # the latter trains nothing at all
        kept = state_of(train(compose_cfg, *words, *more).best_checkpoint)
        assert all(torch.equal(kept[name], tensor) for name, tensor in tower.items())


@pytest.mark.slow
def test_values_that_do_not_fit_are_refused_by_name(compose_cfg: Compose, tmp_path: Path) -> None:
    source = train(compose_cfg)

    def refused(told: str, *words: str, checkpoint: object = source.directory) -> None:
        with pytest.raises(ConfigError, match=told):
            build_job_model(prepare(compose_cfg(f"init.checkpoint={checkpoint}", *BRIEF, *words)))

    refused(r"prompt.base_ranks has the shape \[3, 1, 64\] there and \[2, 1, 64\] here", "prompt.num_base_ranks=2")
    refused("image: it was frozen there, so it is not in it", "init.parts=[image]")
    refused("head: this run's model has no such part", "init.parts=[head]")
    bare = tmp_path / "bare.ckpt"  # nothing beside it says what it is of
    bare.write_bytes(source.best_checkpoint.read_bytes())
    refused("no place for: prompt.base_ranks, prompt.sentence.context", "prompt=linear", checkpoint=bare)
    torch.save({"state_dict": {"module.logit_scale": torch.zeros(())}}, bare)
    refused("a checkpoint of another program", checkpoint=bare)
    bare.write_text("no checkpoint at all")
    refused("cannot be read", checkpoint=bare)
