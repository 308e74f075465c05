import torch

from ordinalclip.optimizers.parameter_groups import build_optimizer
from tests.optimizers.test_parameter_groups import DEFAULT
from tests.test_model import build_model


def test_every_third_step_ends_part_of_the_way_from_the_slow_weights():
    """Around SGD: plain steps by hand, and the pull written out."""
    cfg = {"_target_": "torch.optim.SGD", "lookahead": {"steps": 3, "alpha": 0.8}}
    model = build_model()
    optimizer = build_optimizer(cfg, model, DEFAULT)
    (weight,) = next(group["params"] for group in optimizer.param_groups if group["name"] == "projection")
    fast = slow = weight.detach().clone()
    for step in range(1, 11):
        weight.grad = torch.full_like(weight, float(step))
        optimizer.step()
        fast = fast - DEFAULT["projection"] * step
        if step % 3 == 0:
            fast = slow = 0.8 * fast + 0.2 * slow
        assert torch.allclose(weight, fast, rtol=1e-5, atol=1e-6)


def test_null_is_the_optimizer_itself():
    optimizer = build_optimizer({"_target_": "torch.optim.SGD", "lookahead": None}, build_model(), DEFAULT)
    assert type(optimizer) is torch.optim.SGD
