import math

import pytest
import torch
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, LambdaLR, LinearLR, MultiStepLR, StepLR

from ordinalclip.errors import ConfigError
from ordinalclip.optimizers.schedules import Constant, Cosine, MultiStep, Step


def factors(schedule, num_epochs):
    return [schedule.factor(epoch, num_epochs) for epoch in range(num_epochs)]


def torch_factors(cls, num_epochs, **options):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = cls(optimizer, **options)
    found = []
    for _ in range(num_epochs):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


@pytest.mark.parametrize("num_epochs", [1, 2, 10, 33])
def test_cosine_is_torch_s(num_epochs):
    expected = torch_factors(CosineAnnealingLR, num_epochs, T_max=num_epochs, eta_min=0.2)
    assert factors(Cosine(min_factor=0.2), num_epochs) == pytest.approx(expected)


def test_multistep_is_torch_s():
    expected = torch_factors(MultiStepLR, 10, milestones=[6, 8], gamma=0.5)
    assert factors(MultiStep(milestones=[0.6, 0.8], gamma=0.5), 10) == pytest.approx(expected)


@pytest.mark.parametrize(("every", "step_size"), [(0.6, 60), (0.25, 25), (0.07, 7), (1, 100)])
def test_step_is_torch_s(every, step_size):
    expected = torch_factors(StepLR, 100, step_size=step_size, gamma=0.5)
    assert factors(Step(every=every, gamma=0.5), 100) == pytest.approx(expected)


def test_constant_is_torch_s():
    assert factors(Constant(), 7) == torch_factors(LambdaLR, 7, lr_lambda=lambda epoch: 1.0)


@pytest.mark.parametrize("num_epochs", [3, 4, 12])
@pytest.mark.parametrize("cls", [Constant, Cosine, MultiStep, Step])
def test_warm_up_is_torch_s(cls, num_epochs):
    linear = torch_factors(LinearLR, num_epochs, start_factor=0.2, total_iters=4)
    constant = torch_factors(ConstantLR, num_epochs, factor=0.2, total_iters=4)
    options = {"warmup_epochs": 4, "warmup_factor": 0.2}
    assert factors(cls(warmup="linear", **options), num_epochs)[:5] == pytest.approx(linear[:5])
    assert factors(cls(warmup="constant", **options), num_epochs)[:5] == pytest.approx(constant[:5])


@pytest.mark.parametrize("num_epochs", range(1, 200))
def test_milestones_fall_on_the_first_epoch_at_or_behind_their_share(num_epochs):
    found = factors(MultiStep(milestones=[0.6], gamma=0.1), num_epochs)
    first = math.ceil(num_epochs * 6 / 10) if num_epochs > 1 else 1
    assert found == [1.0] * first + [0.1] * (num_epochs - first)


@pytest.mark.parametrize(("kind", "first"), [("linear", [0.2, 0.4, 0.6, 0.8]), ("constant", [0.2, 0.2, 0.2, 0.2])])
@pytest.mark.parametrize("cls", [Constant, Cosine, MultiStep, Step])
def test_warm_up_comes_first(cls, kind, first):
    found = factors(cls(warmup_epochs=4, warmup=kind, warmup_factor=0.2), 20)
    assert found[:4] == pytest.approx(first)
    assert found[4] == 1


def test_the_cosine_runs_over_the_epochs_behind_warm_up():
    found = factors(Cosine(warmup_epochs=4), 20)
    assert found[4:] == pytest.approx(factors(Cosine(), 16))


def test_milestones_count_warm_up():
    found = factors(MultiStep(milestones=[0.5], warmup_epochs=4), 10)
    assert found[4:] == pytest.approx([1, 0.1, 0.1, 0.1, 0.1, 0.1])


@pytest.mark.parametrize("cls", [Constant, Cosine, MultiStep, Step])
def test_fewer_epochs_than_warm_up_and_an_epoch_too_many(cls):
    schedule = cls(warmup_epochs=5)
    assert factors(schedule, 2) == pytest.approx([0.1, 0.28])
    # LambdaLR asks for the epoch behind the last one too.
    assert 0 <= schedule.factor(6, 6) <= 1
    assert 0 <= cls().factor(7, 7) <= 1


@pytest.mark.parametrize("milestones", [[60, 80], [0.0], [1.0]])
def test_milestones_are_shares(milestones):
    with pytest.raises(ConfigError, match=r"schedule.milestones.*\n.*between 0 and 1\n.*0.6"):
        MultiStep(milestones=milestones)
