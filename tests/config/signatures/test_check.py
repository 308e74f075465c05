import subprocess
import sys
from collections.abc import Callable

import pytest

from ordinalclip.config.signatures import _signature, check_target, imported_signature
from ordinalclip.errors import ConfigError, did_you_mean

RANK = """
from typing import Annotated, Literal

Position = Literal["tail", "front", "middle"]

class Rank(nn.Module):
    def __init__(
        self,
        *,
        num_base_ranks: Annotated[int, Between(2, "num_ranks")] = 3,
        position: Position = "tail",
        context: str | None,
        share: bool = True,
        scale: float = 1.0,
        weights: list[float] | None = None,
        inner: object = None,
        text: TextTower,
    ) -> None: ...

def build(*, size: int = 224, **options: int) -> Rank: ...
"""


@pytest.fixture
def rank(own_package: Callable) -> str:
    return f"{own_package(rank=RANK)}.rank.Rank"


def refusal(target: str, **node: object) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        check_target(
            {"_target_": target, "context": None, **node},
            "prompt",
            known={"num_ranks": 8},
            runtime=("text", "rank_names"),
        )
    return caught.value


def test_right_settings_pass(rank: str) -> None:
    node = {
        "_target_": rank,
        "num_base_ranks": 8,
        "position": "front",
        "context": "the age is",
        "scale": 2,
        "share": False,
    }
    check_target(node, "prompt", known={"num_ranks": 8}, runtime=["text"])
    check_target({**node, "num_base_ranks": 1000}, "prompt", runtime=["text"])  # num_ranks is not known yet
    check_target({**node, "context": "${dataset.context}", "share": "${x}"}, "prompt", runtime=["text"])


def test_unknown_key_is_named_with_what_is_meant(rank: str) -> None:
    error = refusal(rank, num_base_rank=3)
    assert (error.key, error.value) == ("prompt.num_base_rank", 3)
    assert error.allowed == "num_base_ranks, position, context, share, scale, weights, inner"
    assert error.remedy == "did you mean num_base_ranks?"


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("num_base_ranks", 1000, "an integer from 2 to num_ranks (8)"),
        ("num_base_ranks", 1, "an integer from 2 to num_ranks (8)"),
        ("num_base_ranks", 3.0, "an integer from 2 to num_ranks (8)"),
        ("num_base_ranks", True, "an integer from 2 to num_ranks (8)"),
        ("position", "tial", "tail, front, middle"),
        ("position", None, "tail, front, middle"),
        ("share", "True", "true or false"),
        ("share", 1, "true or false"),
        ("scale", "1.0", "a number"),
        ("scale", False, "a number"),
        ("context", 3, "text or null"),
        ("weights", [1, "2"], "a list, each item a number or null"),
        ("weights", "12", "a list, each item a number or null"),
    ],
)
def test_wrong_value_is_told_what_is_allowed(rank: str, name: str, value: object, allowed: str) -> None:
    error = refusal(rank, **{name: value})
    assert (error.key, error.value, error.allowed) == (f"prompt.{name}", value, allowed)


def test_text_that_looks_right_is_named_as_text(rank: str) -> None:
    assert "text" in refusal(rank, share="True").problem
    assert refusal(rank, position="tial").remedy == "did you mean tail?"


@pytest.mark.parametrize("given", [{}, {"context": "???"}])
def test_missing_key(rank: str, given: dict) -> None:
    with pytest.raises(ConfigError, match=r"prompt\.context=.*is missing"):
        check_target({"_target_": rank, **given}, "prompt", runtime=["text"])
    check_target({"_target_": rank, "_partial_": True, **given}, "prompt")


def test_runtime_keys_are_neither_missing_nor_tested(rank: str) -> None:
    check_target({"_target_": rank, "context": None, "text": "openai"}, "prompt", runtime=["text"])
    with pytest.raises(ConfigError, match=r"prompt\.text=.*is missing"):
        check_target({"_target_": rank, "context": None}, "prompt")


@pytest.mark.parametrize("wrap", [lambda node: node, lambda node: [node], lambda node: {"first": [node]}])
def test_nested_nodes_are_checked(rank: str, wrap: Callable) -> None:
    inner = {"_target_": rank.replace("Rank", "build"), "size": "big"}
    error = refusal(rank, inner=wrap(inner))
    assert error.key.startswith("prompt.inner")
    assert error.key.endswith(".size")


def test_open_signature_takes_any_key_and_still_checks_its_own(rank: str) -> None:
    build = rank.replace("Rank", "build")
    check_target({"_target_": build, "anything": 1, "_convert_": "all", "_recursive_": False}, "backbone")
    with pytest.raises(ConfigError, match="an integer"):
        check_target({"_target_": build, "size": None}, "backbone")


@pytest.mark.parametrize(
    ("change", "meant"),
    [
        (("Rank", "Rnak"), "Rank"),
        ((".rank.", ".rnak."), "rank"),
        ((".rank.Rank", ".rank"), ""),
        ((".Rank", ".Rank.x"), ""),
    ],
)
def test_missing_target(rank: str, change: tuple[str, str], meant: str) -> None:
    target = rank.replace(*change)
    if change[1].endswith(".x"):  # an attribute the source does not tell of is left to Hydra
        check_target({"_target_": target}, "prompt")
        return
    error = refusal(target)
    assert (error.key, error.value) == ("prompt._target_", target)
    assert error.remedy == (f"did you mean {meant}?" if meant else "")


@pytest.mark.parametrize("target", ["", "rank", "a b.c", 3, None])
def test_target_that_is_no_name(target: str) -> None:
    node = {"_target_": target}
    with pytest.raises(ConfigError, match="dotted name"):
        check_target(node, "prompt")


class Foreign:
    def __init__(self, size: int, *, colour: str = "red") -> None: ...


HERE = f"{__name__}.Foreign"


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"_target_": HERE}, "size.*is missing"),
        ({"_target_": HERE, "size": 1, "color": "red"}, r"did you mean colour\?"),
        ({"_target_": HERE + "er", "size": 1}, "cannot be imported"),
        ({"_target_": f"{HERE}.size"}, "cannot be imported"),
        ({"_target_": "no_such_package.Thing"}, "cannot be imported"),
    ],
)
def test_foreign_targets_are_checked_for_their_keys(node: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=f"(?s)loss.*{message}"):
        check_target(node, "loss")


def test_foreign_values_are_not_tested() -> None:
    check_target({"_target_": HERE, "size": "any"}, "loss")
    check_target({"_target_": "functools.reduce", "anything": 1}, "loss")  # C without a signature of its own


@pytest.mark.parametrize("name", ["Adam", "AdamW", "RAdam", "SGD", "RMSprop"])
def test_optimizers_are_read_as_they_are(name: str) -> None:
    read, imported = _signature(f"torch.optim.{name}", ""), imported_signature(f"torch.optim.{name}")
    assert read is not None
    assert imported is not None
    assert [(one, parameter.required) for one, parameter in read.parameters.items()] == [
        (one, parameter.required) for one, parameter in imported.parameters.items()
    ]


@pytest.mark.parametrize(
    ("node", "key"), [({"_target_": "torch.optim.RAdm"}, "_target_"), ({"weight_decay": "1"}, "weight_decay")]
)
def test_optimizer_mistakes(node: dict, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_target({"_target_": "torch.optim.RAdam"} | node, "", runtime=["params"])
    assert caught.value.key == key


def test_did_you_mean() -> None:
    assert did_you_mean("prompts", ["prompt", "dataset"]) == "did you mean prompt?"
    assert did_you_mean("xyz", ["prompt", "dataset"]) == ""


def test_nothing_heavy_is_imported() -> None:
    code = """
import sys
from ordinalclip.config.signatures import check_target
check_target({"_target_": "ordinalclip.errors.ConfigError", "key": "a", "value": 1, "problem": ""}, "prompt")
check_target({"_target_": "torch.optim.RAdam", "weight_decay": 0.1}, "optimizer", runtime=("params",))
heavy = {"torch", "numpy", "pandas", "hydra", "omegaconf"} & set(sys.modules)
assert not heavy and "ordinalclip.errors" in sys.modules, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True)
