import numpy as np
import pytest
import torch
from PIL import Image

from ordinalclip.images.preprocessing import Preprocessing, crop_batch, crop_numbers, reference_preprocessing

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


def test_crop_numbers_depend_on_their_seeds_alone() -> None:
    before = torch.random.get_rng_state()
    assert crop_numbers((0, 1)) == crop_numbers((0, 1)) != crop_numbers((1, 0))
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("resize", ["squash", "crop"])
def test_random_crops_are_at_every_offset_and_flipped_or_not(resize: str) -> None:
    preprocessing = Preprocessing(8, MEAN, STD, "bilinear", resize)  # type: ignore[arg-type]
    whole = np.asarray(preprocessing.scale(noise(30, 20), 10)).transpose(2, 0, 1)
    crops = {
        (top, left, flipped): view[..., ::-1] if flipped else view
        for top in range(whole.shape[1] - 7)
        for left in range(whole.shape[2] - 7)
        for flipped in (False, True)
        if (view := whole[:, top : top + 8, left : left + 8]) is not None
    }
    batch = crop_batch(preprocessing, [whole] * 400, [crop_numbers((index,)) for index in range(400)])
    seen = set()
    for view in batch.numpy():
        (place,) = (place for place, crop in crops.items() if np.array_equal(view, crop))
        seen.add(place)
    assert seen == set(crops)


def test_the_papers_way_is_what_its_transforms_give() -> None:
    from torchvision import transforms

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
