import numpy as np
import pytest
import torch

from ordinalclip.optimizers.adai import build_adai


def slow_adai(weights, gradients, *, lr, beta0, beta2, eps, decay, decoupled):
    """The Adai paper's algorithm over all parameters at once; the mean is taken over all of their elements."""
    weights = [weight.copy() for weight in weights]
    m, v, product = ([np.full_like(weight, start) for weight in weights] for start in (0.0, 0.0, 1.0))
    for t, step in enumerate(gradients, start=1):
        step = [g if decoupled else g + decay * w for g, w in zip(step, weights, strict=True)]
        v = [beta2 * a + (1 - beta2) * g**2 for a, g in zip(v, step, strict=True)]
        v_hat = [a / (1 - beta2**t) for a in v]
        mean = np.mean(np.concatenate([a.ravel() for a in v_hat]))
        for index, gradient in enumerate(step):
            beta1 = np.clip(1 - beta0 * v_hat[index] / mean, 0, 1 - eps)
            m[index] = beta1 * m[index] + (1 - beta1) * gradient
            product[index] = product[index] * beta1
            shrunk = weights[index] * (1 - lr * decay) if decoupled else weights[index]
            weights[index] = shrunk - lr * m[index] / (1 - product[index])
    return weights


@pytest.mark.parametrize("scale", [1.0, 1e-4])  # gradients of prompts are small
@pytest.mark.parametrize("decoupled", [False, True])
def test_it_follows_the_paper_s_rule(scale, decoupled):
    rng = np.random.default_rng(0)
    start = [rng.normal(size=(3, 4)), rng.normal(size=5)]
    gradients = [[scale * rng.normal(size=(3, 4)), scale * rng.normal(size=5)] for _ in range(15)]
    decay = 0.1 * scale
    expected = slow_adai(start, gradients, lr=0.1, beta0=0.1, beta2=0.99, eps=1e-3, decay=decay, decoupled=decoupled)
    weights = [torch.nn.Parameter(torch.tensor(weight)) for weight in start]
    groups = [{"params": [weight], "lr": 0.1, "weight_decay": decay, "name": str(weight.ndim)} for weight in weights]
    optimizer = build_adai(groups, decoupled=decoupled)
    for step in gradients:
        for weight, gradient in zip(weights, step, strict=True):
            weight.grad = torch.tensor(gradient)
        optimizer.step()
    for weight, before, wanted in zip(weights, start, expected, strict=True):
        np.testing.assert_allclose(weight.detach().numpy() - before, wanted - before, rtol=1e-6)


def test_no_gradient_at_all_is_no_nan():
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = build_adai([{"params": [weight], "lr": 0.1}])
    weight.grad = torch.zeros(3)
    optimizer.step()
    assert torch.equal(weight, torch.ones(3))
