import pickle

import pytest
import torch
from torch.nn import functional as F

from ordinalclip.config.schema import PARTS
from ordinalclip.errors import ConfigError
from ordinalclip.losses.ce_kl import CrossEntropyKL
from ordinalclip.optimizers.parameter_groups import build_optimizer, build_parameter_groups, build_scheduler, freeze
from ordinalclip.optimizers.schedules import Constant, Cosine, MultiStep, Step
from tests.test_model import PROMPTS, build_model

FROZEN = dict.fromkeys(PARTS)
DEFAULT = FROZEN | {"context": 1e-3, "rank": 2e-3, "head": 3e-3, "projection": 4e-3}
ALL = dict.fromkeys(PARTS, 1e-2)


def names_of(model, parameters):
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [names[id(parameter)] for parameter in parameters]


def test_a_learning_rate_for_each_part():
    model = build_model()
    groups = {group["name"]: group for group in build_parameter_groups(model, DEFAULT, 0.1)}
    assert {name: (group["lr"], group["weight_decay"]) for name, group in groups.items()} == {
        "context/no_decay": (1e-3, 0.0),
        "rank/no_decay": (2e-3, 0.0),
        "projection": (4e-3, 0.1),
    }
    assert names_of(model, groups["rank/no_decay"]["params"]) == ["prompt.base_ranks"]


def test_biases_norms_prompts_and_the_scale_are_not_decayed():
    model = build_model()
    groups = build_parameter_groups(model, ALL, 0.1)
    kept = [name for group in groups if group["weight_decay"] == 0 for name in names_of(model, group["params"])]
    assert sorted(kept) == sorted(
        [
            "backbone.image.0.bias",
            "backbone.image.1.bias",
            "backbone.image.1.weight",
            "backbone.image.4.bias",
            "backbone.logit_scale",
            "backbone.text.head.bias",
            "prompt.base_ranks",
            "prompt.sentence.context",
        ]
    )


@pytest.mark.parametrize("decay_on", ["weights", "all"])
@pytest.mark.parametrize("prompt", PROMPTS)
def test_every_parameter_is_in_one_group(prompt, decay_on):
    model = build_model(prompt)
    groups = build_parameter_groups(model, ALL, 0.1, decay_on)
    found = [name for group in groups for name in names_of(model, group["params"])]
    assert sorted(found) == sorted(name for name, _ in model.named_parameters())
    if decay_on == "all":
        assert {group["weight_decay"] for group in groups} == {0.1}


def test_positions_and_class_tokens_are_not_decayed_whatever_their_shape():
    model = build_model()
    image = model.backbone.image
    image.cls_token = torch.nn.Parameter(torch.zeros(1, 1, 4))
    image.positional_embedding = torch.nn.Parameter(torch.zeros(7, 4))
    image.position_embedding = torch.nn.Embedding(7, 4)
    image.proj = torch.nn.Parameter(torch.zeros(4, 4))
    decayed = {group["name"]: names_of(model, group["params"]) for group in build_parameter_groups(model, ALL, 0.1)}
    added = {"cls_token", "positional_embedding", "position_embedding.weight"}
    assert added <= {name.removeprefix("backbone.image.") for name in decayed["image/no_decay"]}
    assert "backbone.image.proj" in decayed["image"]


RATES = {"new_layers": [], "new_factor": 1.0, "base_factor": 1.0, "layer_decay": None}


def test_new_layers_of_the_image_tower_have_groups_of_their_own():
    model = build_model()
    rates = RATES | {"new_layers": ["4"], "new_factor": 10.0, "base_factor": 0.5}
    groups = {group["name"]: group for group in build_parameter_groups(model, ALL, 0.1, "weights", rates)}
    assert names_of(model, groups["image/new"]["params"]) == ["backbone.image.4.weight"]
    assert names_of(model, groups["image/new/no_decay"]["params"]) == ["backbone.image.4.bias"]
    assert {name: group["lr"] for name, group in groups.items() if name.startswith("image")} == {
        "image": 0.005,
        "image/no_decay": 0.005,
        "image/new": 0.1,
        "image/new/no_decay": 0.1,
    }
    assert groups["image/new"]["weight_decay"] == 0.1
    assert groups["projection"]["lr"] == 1e-2


def test_neutral_rates_are_no_rates():
    model = build_model()
    assert build_parameter_groups(model, ALL, 0.1, "weights", RATES) == build_parameter_groups(model, ALL, 0.1)


def test_a_tower_of_no_known_kind_has_no_layer_decay():
    with pytest.raises(ConfigError, match=r"image_rates.layer_decay=0.7"):
        build_parameter_groups(build_model(), ALL, image_rates=RATES | {"layer_decay": 0.7})


def test_frozen_means_no_gradient_and_eval_mode():
    model = build_model().train()
    freeze(model, DEFAULT)
    learning = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert learning == {"prompt.sentence.context", "prompt.base_ranks", "backbone.projection.weight"}
    assert model.training
    assert not model.backbone.image.training
    assert not model.backbone.text.training
    freeze(model, ALL)
    assert model.backbone.image.training
    freeze(model.eval(), ALL)
    assert not model.training


@pytest.mark.parametrize(
    ("trainable", "key"),
    [
        (DEFAULT | {"rank": 0.0}, "trainable.rank"),
        (DEFAULT | {"rank": -1.0}, "trainable.rank"),
        (DEFAULT | {"rank": float("nan")}, "trainable.rank"),
        (DEFAULT | {"ranks": 1e-3}, "trainable.ranks"),
        ({part: 1e-3 for part in PARTS if part != "image"}, "trainable.image"),
    ],
)
def test_settings_that_cannot_be(trainable, key):
    with pytest.raises(ConfigError) as caught:
        build_parameter_groups(build_model(), trainable)
    assert caught.value.key == key


@pytest.mark.parametrize("trainable", [FROZEN, FROZEN | {"head": 1e-3}])  # none of these has a head
@pytest.mark.parametrize("prompt", ["fixed", "rank", "context"])
def test_any_prompt_between_frozen_towers_may_be_left_as_it_is(prompt, trainable):
    model = build_model(prompt)
    assert build_parameter_groups(model, trainable) == []
    assert not any(parameter.requires_grad for parameter in model.parameters())
    with pytest.raises(ConfigError, match="nothing here can be trained"):
        build_optimizer({"_target_": "torch.optim.SGD"}, model, trainable)


def test_a_value_that_only_the_optimiser_can_judge_names_the_group():
    with pytest.raises(ConfigError, match="SGD refuses its settings: Invalid momentum value: -1") as caught:
        build_optimizer({"_target_": "torch.optim.SGD", "momentum": -1.0}, build_model(), DEFAULT)
    assert caught.value.key == "optimizer"


def test_unknown_weight_decay_on():
    with pytest.raises(ConfigError, match=r"optimizer.weight_decay_on=some"):
        build_parameter_groups(build_model(), DEFAULT, 0.1, "some")


@pytest.mark.parametrize(
    ("target", "options"),
    [
        ("RAdam", {"weight_decay": 5e-4}),
        ("Adam", {"betas": [0.9, 0.99]}),
        ("AdamW", {"weight_decay": 0.01, "weight_decay_on": "all"}),
        ("SGD", {"momentum": 0.9}),
    ],
)
def test_the_optimizer_moves_the_model_s_own_parameters_and_no_frozen_one(target, options):
    model = build_model().train()
    optimizer = build_optimizer({"_target_": f"torch.optim.{target}"} | options, model, DEFAULT)
    assert isinstance(optimizer, getattr(torch.optim, target))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    loss = CrossEntropyKL()(model(torch.randn(6, 3, 8, 8)), torch.tensor([0, 1, 2, 3, 4, 4]))["loss"]
    loss.backward()
    optimizer.step()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"prompt.sentence.context", "prompt.base_ranks", "backbone.projection.weight"}


def test_training_fits_a_few_images():
    model = build_model().train()
    features, rank = F.normalize(torch.randn(5, 10)), torch.arange(5)
    optimizer = build_optimizer(
        {"_target_": "torch.optim.Adam"}, model, DEFAULT | {"context": 0.05, "rank": 0.05, "projection": 0.05}
    )
    losses = []
    for _ in range(60):
        loss = CrossEntropyKL()(model(features=features), rank)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


@pytest.mark.parametrize("schedule", [Constant(), Cosine(warmup_epochs=1), MultiStep(), Step()])
def test_schedulers_scale_every_rate_and_survive_pickling_and_checkpoints(schedule, tmp_path):
    model = build_model()
    optimizer = build_optimizer({"_target_": "torch.optim.SGD"}, model, DEFAULT)
    scheduler = build_scheduler(optimizer, pickle.loads(pickle.dumps(schedule)), num_epochs=5)
    for epoch in range(5):
        factor = schedule.factor(epoch, 5)
        rates = {group["name"]: group["lr"] for group in optimizer.param_groups}
        assert rates["rank/no_decay"] == pytest.approx(2e-3 * factor)
        assert rates["projection"] == pytest.approx(4e-3 * factor)
        optimizer.step()
        scheduler.step()
    torch.save({"scheduler": scheduler.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    scheduler.load_state_dict(state["scheduler"])
    optimizer.load_state_dict(state["optimizer"])
    pickle.loads(pickle.dumps(scheduler.lr_lambdas))
