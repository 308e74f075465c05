import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from ordinalclip.backbones.towers.torchvision_image import GridPool, fix_pooling, pool_by_products, pool_to_grid


@pytest.mark.parametrize(("sides", "grid"), [((7, 7), (7, 7)), ((8, 8), (7, 7)), ((14, 9), (4, 6)), ((3, 5), (7, 2))])
def test_products_are_torchs_pooling_with_its_gradient(sides: tuple[int, int], grid: tuple[int, int]) -> None:
    maps = torch.randn(2, 3, *sides, dtype=torch.float64, requires_grad=True)
    weighting = torch.randn(2, 3, *grid, dtype=torch.float64)
    found = []
    for pool in (pool_by_products, F.adaptive_avg_pool2d):
        pooled = pool(maps, grid)
        found.append((pooled, *torch.autograd.grad((pooled * weighting).sum(), maps)))
    torch.testing.assert_close(found[0], found[1], atol=1e-12, rtol=1e-12)


def test_a_map_of_the_grids_size_is_left_as_it_is() -> None:
    maps = torch.randn(2, 3, 7, 7)
    assert pool_to_grid(maps, (7, 7)) is maps
    assert torch.equal(F.adaptive_avg_pool2d(maps, (7, 7)), maps)
    assert torch.equal(pool_to_grid(maps, (2, 3)), F.adaptive_avg_pool2d(maps, (2, 3)))
    assert torch.equal(pool_to_grid(maps, (1, 1)), F.adaptive_avg_pool2d(maps, 1))


@pytest.mark.parametrize(("name", "changed"), [("vgg11", 1), ("alexnet", 1), ("resnet18", 0)])
def test_networks_compute_the_same(name: str, changed: int) -> None:
    with torch.device("meta"):
        net: nn.Module = torchvision.models.get_model(name, weights=None)
    names = list(net.state_dict())
    fix_pooling(net)
    assert sum(isinstance(module, GridPool) for module in net.modules()) == changed
    assert list(net.state_dict()) == names
    if changed:
        assert net(torch.zeros(2, 3, 224, 224, device="meta")).shape == (2, 1000)


def test_what_leaves_a_side_open_is_left_alone() -> None:
    net = nn.Sequential(nn.AdaptiveAvgPool2d((None, 3)), nn.AdaptiveAvgPool2d(2))
    assert [type(module) for module in fix_pooling(net)] == [nn.AdaptiveAvgPool2d, GridPool]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_on_a_gpu_it_has_a_gradient_where_torchs_is_refused() -> None:
    torch.use_deterministic_algorithms(True)
    try:
        maps = torch.randn(2, 3, 8, 8, device="cuda", requires_grad=True)
        with pytest.raises(RuntimeError, match="deterministic"):
            F.adaptive_avg_pool2d(maps, (7, 7)).sum().backward()
        pool_to_grid(maps, (7, 7)).sum().backward()
        assert maps.grad is not None
        assert maps.grad.sum().item() == pytest.approx(2 * 3 * 49)
    finally:
        torch.use_deterministic_algorithms(False)
