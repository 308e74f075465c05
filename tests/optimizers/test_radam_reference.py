import numpy as np
import pytest
import torch

from ordinalclip.optimizers.radam_reference import RAdamReference, rectified_step


def slow_radam(weight, gradients, *, lr, beta1, beta2, eps, decay):
    """Algorithm 2 of the RAdam paper, each quantity by its name there; where it falls back on momentum: nothing."""
    weight, m, v = weight.copy(), np.zeros_like(weight), np.zeros_like(weight)
    rho_inf = 2 / (1 - beta2) - 1
    path = []
    for t, gradient in enumerate(gradients, start=1):
        v = beta2 * v + (1 - beta2) * gradient**2
        m = beta1 * m + (1 - beta1) * gradient
        rho = rho_inf - 2 * t * beta2**t / (1 - beta2**t)
        if rho >= 5:
            root_v_hat = (np.sqrt(v) + eps) / np.sqrt(1 - beta2**t)
            r = np.sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
            weight = weight - lr * decay * weight - lr * r * (m / (1 - beta1**t)) / root_v_hat
        path.append(weight)
    return path


@pytest.mark.parametrize(("beta2", "decay"), [(0.999, 0.0), (0.999, 0.1), (0.9, 0.1)])
def test_it_follows_the_paper_s_rule(beta2, decay):
    gradients = np.random.default_rng(0).normal(size=(40, 7))
    start = np.random.default_rng(1).normal(size=7)
    expected = slow_radam(start, gradients, lr=0.01, beta1=0.9, beta2=beta2, eps=1e-8, decay=decay)
    weight = torch.nn.Parameter(torch.tensor(start))
    optimizer = RAdamReference([{"params": [weight], "lr": 0.01, "weight_decay": decay}], betas=(0.9, beta2))
    for gradient, wanted in zip(gradients, expected, strict=True):
        weight.grad = torch.tensor(gradient)
        optimizer.step()
        np.testing.assert_allclose(weight.detach().numpy(), wanted, rtol=1e-12, atol=1e-14)


def test_nothing_moves_in_the_first_five_steps_where_torch_s_does():
    moved = {}
    for kind in (RAdamReference, torch.optim.RAdam):
        weight = torch.nn.Parameter(torch.ones(3))
        optimizer = kind([weight], lr=0.1, weight_decay=0.5)
        moved[kind] = []
        for _ in range(6):
            before = weight.detach().clone()
            weight.grad = torch.tensor([1.0, -2.0, 3.0])
            optimizer.step()
            moved[kind].append(not torch.equal(before, weight))
    assert moved[RAdamReference] == [False] * 5 + [True]
    assert moved[torch.optim.RAdam] == [True] * 6


def test_once_it_moves_it_is_torch_s_but_for_weight_decay():
    """Fed with zeros until both are rectified, the moments are equal from then on."""
    ours, theirs = (torch.nn.Parameter(torch.ones(3, dtype=torch.float64)) for _ in range(2))
    optimizers = RAdamReference([ours], lr=0.1), torch.optim.RAdam([theirs], lr=0.1)
    for step in range(20):
        gradient = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64) * (step > 5)
        for weight, optimizer in zip((ours, theirs), optimizers, strict=True):
            weight.grad = gradient.clone()
            optimizer.step()
    assert torch.allclose(ours, theirs, rtol=1e-12)
    assert not torch.equal(ours, torch.ones_like(ours))


def test_the_step_grows_towards_adam_s():
    assert rectified_step(5, 0.9, 0.999) is None
    assert rectified_step(6, 0.9, 0.999) < rectified_step(100, 0.9, 0.999) < 1
    assert rectified_step(100_000, 0.9, 0.999) == pytest.approx(1)


def test_parameters_without_a_gradient_rest():
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = RAdamReference([weight], weight_decay=0.5)
    for _ in range(8):
        optimizer.step(lambda: None)
    assert torch.equal(weight, torch.ones(3))
    assert len(optimizer.state) == 0
