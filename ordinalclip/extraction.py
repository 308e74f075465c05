"""The pass of all images through an image tower, in chunks that survive a kill and can be shared by processes.

A chunk is a fixed slice of the sorted images, written to a file of its own and renamed when complete. A process that
starts takes the chunks that are missing, beginning at a place of its own, so several of them divide the work without
talking to each other; in the worst case a chunk is computed twice, with the same result.
"""

import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ordinalclip.backbones.backbone import Backbone
from ordinalclip.crops import crop_batch, draw, stack_batch
from ordinalclip.datasets.files import write_atomically
from ordinalclip.feature_parts import assemble, part_file, save_part, unless_there
from ordinalclip.features import Extraction
from ordinalclip.image_cache import ImageSource
from ordinalclip.image_geometry import Geometry
from ordinalclip.progress import progress
from ordinalclip.stop import check_stop

log = logging.getLogger(__name__)

_WORTH_SAYING = 1.0  # seconds: what takes less is nothing that a user waits for
CHUNK = 64  # images a file: a few seconds of work, all that a kill can cost
_ATTEMPTS = 3  # at a set of features whose parts `make clean-cache` takes away meanwhile


def extract(
    backbone: Backbone,
    paths: Sequence[Path],
    hashes: np.ndarray,
    folders: Mapping[int | None, Path],
    *,
    cache_dir: Path,
    how: Extraction,
    name: str,
) -> None:
    """Writes `features.npy` [U, F] and `images.txt` into a folder for each view.

    Images come from the cache of decoded images where a run has left them there; one pass is not worth filling it for.
    Chunks that are removed meanwhile are computed again.

    Args:
        backbone: with its preprocessing; its image tower comes back in eval mode and on the CPU.
        paths: image files.
        hashes: SHA-256 of each.
        folders: view → folder, which is made; either the plain image (None) or augmented views.
        cache_dir: the platform's cache.
        how: batch size (a pass never spans two chunks), decoding threads, precision.
        name: of the data set, for the progress bar.

    Raises:
        DataError: if an image cannot be read.
    """
    source = ImageSource(paths, Geometry(backbone.preprocessing, None not in folders), hashes, cache_dir)
    for attempts_left in reversed(range(_ATTEMPTS)):
        try:
            _extract(backbone, source, hashes, folders, how, name)
            return
        except FileNotFoundError:
            if attempts_left == 0:
                raise
            log.warning("features of %s: some were removed while others were computed; they are made again", name)


def _extract(
    backbone: Backbone,
    source: ImageSource,
    hashes: np.ndarray,
    folders: Mapping[int | None, Path],
    how: Extraction,
    name: str,
) -> None:
    """One attempt; a FileNotFoundError where files of its own are gone."""
    starts = list(range(0, len(hashes), CHUNK))
    turn = os.getpid() % len(starts)
    parts = {view: folder / "parts" for view, folder in folders.items()}
    for folder in parts.values():
        folder.mkdir(parents=True, exist_ok=True)
    joined = {view for view, folder in folders.items() if (folder / "features.npy").is_file()}
    missing = {
        start: [view for view in folders if not part_file(parts[view], start).is_file() and view not in joined]
        for start in starts[turn:] + starts[:turn]
    }
    missing = {start: views for start, views in missing.items() if views}
    total = len(hashes) * len(folders)
    left = sum(min(CHUNK, len(hashes) - start) * len(views) for start, views in missing.items())
    device = torch.device("cuda" if how.gpu and torch.cuda.is_available() else "cpu")
    tower = backbone.image.eval().to(device)
    began = time.perf_counter()
    with (
        ThreadPoolExecutor(how.num_threads) as pool,
        progress(f"features of {name}", total, " images", delay=1, initial=total - left) as bar,
    ):
        for start, images in _decoded(source, list(missing), pool):
            check_stop()
            for view in missing[start]:
                part = part_file(parts[view], start)
                if not part.is_file() and not (folders[view] / "features.npy").is_file():
                    pixels = _view(backbone, images, hashes[start : start + CHUNK], view)
                    features = _forward(tower, backbone, pixels, how, device)
                    with unless_there(folders[view] / "features.npy"):
                        write_atomically(part, partial(save_part, features))
                bar.update(len(images))
    tower.to("cpu")
    seconds = time.perf_counter() - began
    if seconds > _WORTH_SAYING:
        log.info("features of %s: %d images in %.1f s, %.0f images/s", name, left, seconds, left / seconds)
    for view, folder in folders.items():
        assemble(folder, parts[view], starts, hashes)


def _decoded(
    source: ImageSource, starts: Sequence[int], pool: ThreadPoolExecutor
) -> Iterator[tuple[int, list[np.ndarray]]]:
    """Chunks of pixels [3, H, W] with where they start, the next one decoded while one is worked on."""

    def submit(start: int) -> list[Future[np.ndarray]]:
        return [pool.submit(source.__getitem__, number) for number in range(len(source.paths))[start : start + CHUNK]]

    pending = submit(starts[0]) if starts else []
    for index, start in enumerate(starts):
        current, pending = pending, submit(starts[index + 1]) if index + 1 < len(starts) else []
        yield start, [future.result() for future in current]


def _view(backbone: Backbone, images: Sequence[np.ndarray], hashes: np.ndarray, view: int | None) -> Tensor:
    """Pixels [C, 3, S, S]; a view's crop is drawn from its number and the image's hash."""
    if view is None:
        return stack_batch(images)
    return crop_batch(backbone.preprocessing, images, [draw((view, int(sha256, 16))) for sha256 in hashes])


@torch.inference_mode()
def _forward(
    tower: torch.nn.Module, backbone: Backbone, pixels: Tensor, how: Extraction, device: torch.device
) -> np.ndarray:
    features = []
    settings = torch.backends.cudnn
    with (
        torch.autocast(device.type, dtype=torch.bfloat16, enabled=how.precision == "bf16"),
        # In float32 all of it: cuDNN's convolutions would take TF32's 10 bits of the mantissa by default.
        settings.flags(
            enabled=settings.enabled,
            benchmark=settings.benchmark,
            deterministic=settings.deterministic,
            allow_tf32=False,
        ),
    ):
        for batch in pixels.split(how.batch_size):
            images = backbone.preprocessing.normalise_pixels(batch.to(device))
            features.append(tower(images).float().cpu())
    return torch.cat(features).numpy()
