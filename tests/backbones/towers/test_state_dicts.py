from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ordinalclip.backbones.towers.state_dicts import FittedState, fit_state, initial_projection, read_plain
from ordinalclip.errors import ConfigError

KEY = "backbone.weights.image"


def net(num_classes: int = 5, *, bias: bool = True) -> nn.Sequential:
    torch.manual_seed(num_classes)
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Linear(4, num_classes, bias=bias))


def fit(path: Path) -> FittedState:
    return fit_state(read_plain(path, KEY), net().state_dict(), last="2", path=path, key=KEY)


@pytest.mark.parametrize("prefix", ["", "module.", "module.module."])
@pytest.mark.parametrize("wrapper", [None, "state_dict", "model"])
def test_prefixes_and_wrappers_are_taken_off(tmp_path: Path, prefix: str, wrapper: str | None) -> None:
    plain = net(101).state_dict()
    state: dict[str, Any] = {prefix + name: tensor for name, tensor in plain.items()}
    torch.save(state if wrapper is None else {wrapper: state, "epoch": 3}, tmp_path / "w.pt")
    fitted = fit(tmp_path / "w.pt")
    assert set(fitted.body) == {name for name in plain if not name.startswith("2.")}
    assert all(torch.equal(tensor, plain[name]) for name, tensor in fitted.body.items())
    assert {name: tuple(tensor.shape) for name, tensor in fitted.last.items()} == {
        "2.weight": (101, 4),
        "2.bias": (101,),
    }


def test_safetensors_and_files_of_before_zip_are_read(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    plain = net().state_dict()
    save_file(plain, tmp_path / "w.safetensors")
    torch.save(plain, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    for name in ("w.safetensors", "old.pth"):
        assert torch.equal(fit(tmp_path / name).body["0.weight"], plain["0.weight"])


def test_batchnorms_counters_may_be_missing(tmp_path: Path) -> None:
    torch.save({n: t for n, t in net().state_dict().items() if "num_batches" not in n}, tmp_path / "w.pt")
    target = net()
    target.load_state_dict(fit(tmp_path / "w.pt").body | dict(target[2].state_dict(prefix="2.")))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"0.bias": None}, "missing: 0.bias"),
        ({"decoder.weight": torch.zeros(1)}, "surplus: decoder.weight"),
        ({"epoch": 3}, "surplus: epoch"),
        ({"0.weight": torch.zeros(4, 1, 1, 1)}, "of another shape: 0.weight"),
        ({f"x{i}": torch.zeros(1) for i in range(6)}, "surplus: x0, x1, x2, x3 and 2 more"),
    ],
)
def test_other_tensors_are_named(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    state = {**net().state_dict(), **change}
    torch.save({name: value for name, value in state.items() if value is not None}, tmp_path / "w.pt")
    with pytest.raises(ConfigError, match=words) as caught:
        fit(tmp_path / "w.pt")
    assert caught.value.key == KEY


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    torch.save(net(), tmp_path / "w.pt")  # a module, which only code can bring back
    with pytest.raises(ConfigError, match="is no file of tensors"):
        fit(tmp_path / "w.pt")
    torch.save([torch.zeros(1)], tmp_path / "w.pt")
    with pytest.raises(ConfigError, match="holds a list"):
        fit(tmp_path / "w.pt")


def test_only_a_last_layer_without_bias_and_of_the_right_shape_starts_the_projection(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def initial(last: dict[str, Tensor]) -> Tensor | None:
        caplog.clear()
        with caplog.at_level("INFO", logger="ordinalclip"):
            return initial_projection(last, feature_dim=4, embed_dim=12, path=tmp_path / "w.pt")

    weight = torch.randn(12, 4)
    found = initial({"2.weight": weight.half()})
    torch.testing.assert_close(found, weight.half().float())
    assert "w.pt: its last layer (2.weight [12, 4]) is where the projection starts" in caplog.text
    assert initial({"2.weight": weight, "2.bias": torch.zeros(12)}) is None
    assert "left out (2.weight [12, 4], 2.bias [12])" in caplog.text
    assert initial({"2.weight": torch.zeros(13, 4)}) is None
    assert initial({}) is None
    assert "w.pt: it has no last layer; the projection [12, 4] starts at random" in caplog.text


def test_densenets_old_names_are_known(tmp_path: Path) -> None:
    wanted = {"features.denseblock1.denselayer2.norm1.weight": torch.zeros(1), "features.norm0.weight": torch.zeros(1)}
    published = {
        "features.denseblock1.denselayer2.norm.1.weight": torch.ones(1),
        "features.norm0.weight": torch.ones(1),
    }
    fitted = fit_state(published, wanted, last="classifier", path=tmp_path, key=KEY)
    assert set(fitted.body) == set(wanted)
