import math

import numpy as np
import pytest
import torch

from ordinalclip.optimizers.ranger import build_ranger, build_ranger21


def slow_ranger(weight, gradients, *, lr, beta1, beta2, eps, steps, alpha):
    """RAdam with momentum where it cannot rectify, on gradients whose rows have mean 0, within Lookahead."""
    weight, slow = weight.copy(), weight.copy()
    m, v = np.zeros_like(weight), np.zeros_like(weight)
    rho_inf = 2 / (1 - beta2) - 1
    for t, raw in enumerate(gradients, start=1):
        gradient = raw - raw.mean(axis=1, keepdims=True)
        m = beta1 * m + (1 - beta1) * gradient
        v = beta2 * v + (1 - beta2) * gradient**2
        rho = rho_inf - 2 * t * beta2**t / (1 - beta2**t)
        update = m / (1 - beta1**t)
        if rho >= 5:
            r = math.sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
            update = r * update * math.sqrt(1 - beta2**t) / (np.sqrt(v) + eps)
        weight = weight - lr * update
        if t % steps == 0:
            weight = slow = slow + alpha * (weight - slow)
    return weight


@pytest.mark.parametrize("num_steps", [3, 6, 20])
def test_ranger_follows_its_rule(num_steps):
    gradients = np.random.default_rng(0).normal(size=(num_steps, 4, 5))
    start = np.random.default_rng(1).normal(size=(4, 5))
    expected = slow_ranger(start, gradients, lr=0.01, beta1=0.95, beta2=0.999, eps=1e-5, steps=6, alpha=0.5)
    weight = torch.nn.Parameter(torch.tensor(start))
    optimizer = build_ranger([{"params": [weight], "lr": 0.01}])
    for gradient in gradients:
        weight.grad = torch.tensor(gradient)
        optimizer.step()
    np.testing.assert_allclose(weight.detach().numpy(), expected, rtol=1e-9)


@pytest.mark.parametrize("build", [build_ranger, build_ranger21])
def test_the_first_step_goes_down(build):
    weight = torch.nn.Parameter(torch.tensor([[1.0, -2.0, 3.0, -4.0]]))
    optimizer = build([{"params": [weight], "lr": 0.01}])
    weight.grad = 2 * weight.detach()
    before = weight.square().sum().item()
    optimizer.step()
    assert weight.square().sum() < before


def test_ranger21_s_rate_is_its_group_s_and_nothing_else():
    """In a long run its own warm-up would scale the first of these steps by 1/2000, its warm-down the last to 3e-5."""
    sizes = []
    for lr in (0.01, 0.03):
        weight = torch.nn.Parameter(torch.tensor([[1.0, -2.0, 3.0, -4.0]]))
        optimizer = build_ranger21(
            [{"params": [weight], "lr": lr}], weight_decay=0.0, norm_loss=0.0, lookahead_steps=99
        )
        path = []
        for _ in range(10):
            before = weight.detach().clone()
            weight.grad = torch.tensor([[1.0, -2.0, 3.0, -1.0]])
            optimizer.step()
            path.append((weight.detach() - before).norm().item())
        sizes.append(path)
    assert np.divide(sizes[1], sizes[0]) == pytest.approx(np.full(10, 3.0), rel=1e-3)
    assert min(sizes[0]) > 0.1 * max(sizes[0]) > 1e-4
