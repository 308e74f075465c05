import numpy as np
import pytest
import torch
from PIL import Image

from ordinalclip.images.preprocessing import Preprocessing

MEAN, STD = (0.48, 0.46, 0.41), (0.27, 0.26, 0.28)
SIZES = [(40, 40), (64, 40), (40, 65), (301, 57), (20, 31), (1, 1)]


def noise(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(width * 1000 + height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("resize", ["squash", "crop"])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_to_tensor_equals_torchvision(interpolation: str, resize: str, width: int, height: int) -> None:
    from torchvision.transforms import v2

    mode = v2.InterpolationMode(interpolation)
    scale = v2.Resize(32 if resize == "crop" else (32, 32), mode)
    steps = [scale, v2.CenterCrop(32), v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
    ours = Preprocessing(32, MEAN, STD, interpolation, resize).to_tensor(noise(width, height))  # type: ignore[arg-type]
    assert ours.shape == (3, 32, 32)
    assert ours.is_contiguous()
    torch.testing.assert_close(ours, v2.Compose(steps)(noise(width, height)), atol=1e-6, rtol=0)


def test_clips_preprocessing_equals_open_clips() -> None:
    from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
    from open_clip.transform import image_transform

    theirs = image_transform(48, is_train=False, mean=OPENAI_DATASET_MEAN, std=OPENAI_DATASET_STD)
    ours = Preprocessing(48, OPENAI_DATASET_MEAN, OPENAI_DATASET_STD, "bicubic", "crop")
    torch.testing.assert_close(ours.to_tensor(noise(100, 61)), theirs(noise(100, 61)), atol=1e-6, rtol=0)


def test_augmentation_depends_on_its_generator_alone() -> None:
    preprocessing = Preprocessing(32, MEAN, STD)
    before = torch.random.get_rng_state()
    views = [preprocessing.augment(noise(50, 40), torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(views[0], views[1])
    assert not torch.equal(views[0], views[2])
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("resize", ["squash", "crop"])
def test_augmented_views_are_crops_of_the_enlarged_image(resize: str) -> None:
    preprocessing = Preprocessing(8, MEAN, STD, "bilinear", resize)  # type: ignore[arg-type]
    whole = preprocessing.normalize(preprocessing.scale(noise(30, 20), 10))
    crops = {
        (top, left, mirrored): whole[:, top : top + 8, left : left + 8].flip(-1) if mirrored else view
        for top in range(whole.shape[1] - 7)
        for left in range(whole.shape[2] - 7)
        for mirrored in (False, True)
        if (view := whole[:, top : top + 8, left : left + 8]) is not None
    }
    generator = torch.Generator().manual_seed(0)
    seen = set()
    for _ in range(400):
        view = preprocessing.augment(noise(30, 20), generator, enlarge=1.25)
        matches = [place for place, crop in crops.items() if torch.equal(view, crop)]
        assert len(matches) == 1
        seen.update(matches)
    assert seen == set(crops)  # every offset, either way round


def test_without_enlarging_and_flipping_augmentation_changes_nothing() -> None:
    preprocessing = Preprocessing(16, MEAN, STD)
    generator = torch.Generator().manual_seed(3)
    view = preprocessing.augment(noise(50, 40), generator, enlarge=1, flip=False)
    assert torch.equal(view, preprocessing.to_tensor(noise(50, 40)))
    with pytest.raises(ValueError, match="at least 1"):
        preprocessing.augment(noise(5, 5), generator, enlarge=0.9)


def test_the_papers_way_is_what_its_transforms_give() -> None:
    from torchvision import transforms

    from ordinalclip.images.preprocessing import reference_preprocessing

    pixels = np.random.default_rng(0).integers(0, 256, (300, 201, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    theirs = transforms.Compose(
        [
            transforms.Resize([256, 256]),
            transforms.CenterCrop([224, 224]),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    ours = reference_preprocessing(224)
    assert ours.scaled == 256
    torch.testing.assert_close(ours.to_tensor(image), theirs(image), rtol=0, atol=1e-6)
