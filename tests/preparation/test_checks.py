import subprocess
import sys
from typing import Any

import pytest

from ordinalclip.config.identity import identity, run_id
from ordinalclip.errors import ConfigError
from ordinalclip.preparation.checks import check, check_compiler
from tests.conftest import Compose

WEIGHTS = {"image": "a1", "text": "b2"}


def id_of(cfg: dict[str, Any], manifest: str = "m", weights: dict[str, str] = WEIGHTS) -> str:
    return run_id(identity(cfg, manifest_hash=manifest, weights=weights))


@pytest.mark.parametrize(
    "override",
    [
        "num_workers=7",
        "tracking=local",
        "sweep_name=mine",
        "tags=[a]",
        "rerun=true",
        "paths.runs=elsewhere",
        "trainer=auto",
        "trainer.deterministic=false",
        "trainer.gradient_clip_val=null",
        "+trainer.limit_batches=null",
        "dataset.name=another",
        "backbone.name=another",
        "features.batch_size=5",
        "features={views: 0, precision: fp32}",
        "cache.images=false",
        "cache.limit_gb=null",
        "dataset.on_error=skip",
        "epochs=3",
        "trainable.rank=0.001",
        "lr=0.001",
        "augment=false",  # what null means here
    ],
)
def test_what_cannot_change_the_result_keeps_the_id(compose_cfg: Compose, override: str) -> None:
    assert id_of(compose_cfg(override)) == id_of(compose_cfg())


@pytest.mark.parametrize(
    "override",
    [
        "seed=1",
        "epochs=4",
        "batch_size=17",
        "prompt=context",
        "prompt.num_base_ranks=2",
        "prompt.interpolation=normal",
        "trainable.rank=0.002",
        "trainable.rank=null",
        "lr=0.002",
        "optimizer=adam",
        "loss=ce",
        "schedule=constant",
        "trainer.precision=bf16-mixed",
        "trainer.gradient_clip_val=1.0",
        "trainer.accumulate_grad_batches=2",
        "+trainer.limit_batches=3",
        "prompt.context=null",
        "backbone.size=64",
        "backbone.projection=linear",
        "protocol.readout=argmax",
        "augment=true",
        "features.views=2",
        "features.precision=bf16",
    ],
)
def test_what_changes_the_result_changes_the_id(compose_cfg: Compose, override: str) -> None:
    assert id_of(compose_cfg(override)) != id_of(compose_cfg())


def test_the_version_of_what_a_backbone_starts_from_is_in_the_id_of_its_runs_alone(
    compose_cfg: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixed, other = compose_cfg("backbone=vgg16_rn50text"), compose_cfg()
    now = id_of(mixed), id_of(other)
    monkeypatch.setattr("ordinalclip.config.identity._VERSIONS", {mixed["backbone"]["_target_"]: 3})
    assert id_of(mixed) != now[0]
    assert id_of(other) == now[1]


@pytest.mark.slow
def test_settings_of_features_enter_only_where_features_are_used(compose_cfg: Compose) -> None:
    identity_of = lambda *words: identity(compose_cfg(*words), manifest_hash="m", weights=WEIGHTS)  # noqa: E731
    assert "features" not in identity_of()  # as in the ids of runs before there were views
    words = ("features.views=3", "features.precision=bf16")
    assert identity_of(*words)["features"] == {"views": 3, "precision": "bf16"}
    assert identity_of(*words)["augment"] is True
    trained = "trainable.image=1e-4"
    assert identity_of(trained, *words) == identity_of(trained)
    assert identity_of("augment=true", words[1]) == identity_of("augment=true")  # the tower sees each batch


@pytest.mark.slow
def test_compiling_enters_only_where_something_is_compiled(compose_cfg: Compose) -> None:
    assert id_of(compose_cfg("compile=true")) == id_of(compose_cfg())
    trained = "trainable.image=1e-4"
    assert id_of(compose_cfg(trained, "compile=true")) != id_of(compose_cfg(trained))


def test_float16_is_refused_on_a_cpu_which_would_compute_in_bfloat16(compose_cfg: Compose) -> None:
    with pytest.raises(ConfigError, match=r"trainer\.precision=16-mixed: is not for CPUs"):
        check(compose_cfg("trainer=cpu", "trainer.precision=16-mixed"))


@pytest.mark.slow
def test_fused_steps_and_clipped_float16_are_refused(compose_cfg: Compose) -> None:
    words = ("trainer=gpu", "optimizer=adam", "trainer.precision=16-mixed", "trainer.gradient_clip_val=1.0")
    with pytest.raises(ConfigError, match=r"optimizer\.fused=True: .*gradient_clip_val"):
        check(compose_cfg(*words))
    for other in ("optimizer.fused=false", "trainer.precision=bf16-mixed", "trainer.gradient_clip_val=0"):
        check(compose_cfg(*words, other))


def test_milestones_in_epochs_are_told_before_data_are_read(compose_cfg: Compose) -> None:
    with pytest.raises(ConfigError, match=r"schedule\.milestones=\[60\]: not shares of the run"):
        check(compose_cfg("schedule=multistep", "schedule.milestones=[60]"))


def test_views_that_would_not_be_used_are_refused(compose_cfg: Compose) -> None:
    with pytest.raises(ConfigError, match=r"features\.views=3: keeps augmented views") as caught:
        check(compose_cfg("features.views=3", "augment=false"))
    assert caught.value.key == "features.views"


def test_data_and_weights_enter_by_content(compose_cfg: Compose) -> None:
    cfg = compose_cfg()
    assert id_of(cfg, manifest="other") != id_of(cfg)
    assert id_of(cfg, weights=WEIGHTS | {"text": "c3"}) != id_of(cfg)


def test_equal_numbers_of_two_types_are_one_experiment(compose_cfg: Compose) -> None:
    assert id_of(compose_cfg("loss.kl_weight=1")) == id_of(compose_cfg("loss.kl_weight=1.0"))
    # True is not 1, though Python says so.
    assert run_id({"a": True}) != run_id({"a": 1})


@pytest.mark.parametrize(
    ("override", "key", "words"),
    [
        ("+prompt.num_base_rank=3", "prompt.num_base_rank", "num_base_ranks"),
        ("seed=abc", "seed", "abc"),
        ("seed=-1", "seed", "0"),
        ("cache.limit_gb=-1", "cache.limit_gb", "0"),
        ("features.precision=fp16", "features.precision", "bf16"),
        ("features.views=-1", "features.views", "0"),
        ("features.batch_size=65", "features.batch_size", "64"),
        ("+cache.limit=1", "cache.limit", "limit_gb"),
        ("epochs=0", "epochs", "1"),
        ("+epoch=3", "epoch", "epochs"),
        ("trainable.rank=fast", "trainable.rank", "fast"),
        ("+trainable.ranks=1e-3", "trainable.ranks", "rank"),
        ("prompt.interpolation=cubic", "prompt.interpolation", "piecewise"),
        ("prompt.num_base_ranks=0", "prompt.num_base_ranks", "1"),
        ("prompt.num_base_ranks=3.5", "prompt.num_base_ranks", "3.5"),
        ("+optimizer.momentum=0.9", "optimizer.momentum", "betas"),
        ("optimizer.weight_decay_on=some", "optimizer.weight_decay_on", "all"),
        ("protocol.readout=mode", "protocol.readout", "median"),
        ("protocol.select_on=train", "protocol.select_on", "val, test"),
        ("trainer.precision=8", "trainer.precision", "32-true"),
        ("dataset.num_ranks=1", "dataset.num_ranks", "2"),
        ("schedule.warmup=log", "schedule.warmup", "linear"),
        ("loss._target_=ordinalclip.losses.ce.CrossEntrop", "loss._target_", "CrossEntropy"),
    ],
)
def test_a_mistake_is_one_error_with_key_and_what_is_allowed(
    compose_cfg: Compose, override: str, key: str, words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        check(compose_cfg(override))
    assert caught.value.key == key
    assert words in str(caught.value)


def test_ranges_that_depend_on_the_data_are_checked_once_it_is_known(compose_cfg: Compose) -> None:
    cfg = compose_cfg("prompt.num_base_ranks=6")
    check(cfg)
    with pytest.raises(ConfigError, match="num_base_ranks=6"):
        check(cfg, known={"num_ranks": 5})


def test_every_default_passes(compose_cfg: Compose) -> None:
    check(compose_cfg(small=False), known={"num_ranks": 4})


@pytest.mark.slow
def test_checking_imports_no_torch() -> None:
    code = """
import sys
from hydra import compose, initialize_config_dir
from ordinalclip.config.compose import conf_dir, plain_config
from ordinalclip.preparation.checks import check
from ordinalclip import tracking, train
from ordinalclip.execution import job
from ordinalclip.preparation import prepare
from ordinalclip.report import tables
with initialize_config_dir(str(conf_dir()), version_base="1.3"):
    cfg = plain_config(compose("train", ["optimizer=adam"]))
del cfg["optimizer"]["_target_"]
cfg["optimizer"] = {"_target_": "ordinalclip.config.schema.Cache", "images": True, "limit_gb": 1}
check(cfg)
assert not {"torch", "lightning", "mlflow", "open_clip"} & set(sys.modules), "heavy"
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("+optimizer.lr=1e-3", "optimizer.lr"),
        ("optimizer.lookahead=true", "optimizer.lookahead"),
        ("optimizer.lookahead={steps: 5, alpha: 1}", "optimizer.lookahead.alpha"),
        ("optimizer.lookahead={steps: 5}", "optimizer.lookahead.alpha"),
        ("optimizer.lookahead={step: 5, alpha: 0.8}", "optimizer.lookahead.step"),
        ("+optimizer.weight_dacay=0.1", "optimizer.weight_dacay"),
    ],
)
def test_what_an_optimizer_does_not_take(compose_cfg: Compose, override: str, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check(compose_cfg("optimizer=adaiw", override))
    assert caught.value.key == key


def test_no_lookahead_leaves_ids_as_they_were(compose_cfg: Compose) -> None:
    cfg = compose_cfg()
    assert "lookahead" not in identity(cfg, manifest_hash="", weights={})["optimizer"]
    on = compose_cfg("optimizer.lookahead={steps: 5, alpha: 0.8}")
    assert identity(on, manifest_hash="", weights={})["optimizer"]["lookahead"] == {"steps": 5, "alpha": 0.8}


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        (["image_rates.layer_decay=0.7"], "image_rates.layer_decay"),  # of a frozen tower
        (["image_rates.base_factor=0.1"], "image_rates.base_factor"),
        (["trainable.image=1e-4", "image_rates.new_factor=10"], "image_rates.new_factor"),  # no layer is new
        (["trainable.image=1e-4", "image_rates.layer_decay=1.5"], "image_rates.layer_decay"),
        (["trainable.image=1e-4", "image_rates.new_layers=proj"], "image_rates.new_layers"),
        (["trainable.image=1e-4", "+image_rates.decay=0.7"], "image_rates.decay"),
    ],
)
def test_rates_that_nothing_would_come_of(compose_cfg: Compose, overrides: list[str], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check(compose_cfg(*overrides))
    assert caught.value.key == key


@pytest.mark.slow
def test_rates_within_the_image_tower_are_in_the_id_once_they_say_something(compose_cfg: Compose) -> None:
    cfg = compose_cfg("trainable.image=1e-4")
    assert "image_rates" not in identity(cfg, manifest_hash="", weights={})
    ids = {
        id_of(compose_cfg("trainable.image=1e-4", f"image_rates.layer_decay={decay}")) for decay in ("null", 0.7, 0.8)
    }
    assert len(ids) == 3
    assert id_of(cfg) in ids


def test_a_missing_compiler_is_said_before_anything_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ConfigError, match=r"compile=true.*C\+\+ compiler"):
        check_compiler()
