"""A sheet with a few images of each rank of a data set."""

import hashlib

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from ordinalclip.datasets.images import open_rgb
from ordinalclip.datasets.manifest import Manifest

GAP, MAX_ROWS, TEXT = 4, 20, 14


def rank_sheet(manifest: Manifest, *, per_rank: int, size: int) -> Image.Image:
    """Ranks below each other, images of a rank side by side.

    Args:
        manifest: of any data set; of more than `MAX_ROWS` ranks as many are shown, spread over the scale.
        per_rank: images of each, always the same ones.
        size: edge of an image in pixels.

    Returns:
        An RGB image.
    """
    table = manifest.table
    shown = np.unique(np.linspace(0, manifest.num_ranks - 1, min(manifest.num_ranks, MAX_ROWS)).round().astype(int))
    font = ImageFont.load_default(TEXT)
    names = [f"{manifest.rank_names[rank]} ({(table['rank'] == rank).sum():,})" for rank in shown]
    left = GAP * 2 + int(max(font.getlength(name) for name in names))
    pitch = size + GAP
    sheet = Image.new("RGB", (left + per_rank * pitch, len(shown) * pitch + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for row, rank in enumerate(shown):
        top = GAP + row * pitch
        draw.text((GAP, top + size / 2), names[row], fill="black", font=font, anchor="lm")
        # In an order that neither the files' names nor the split decide.
        images = sorted(
            table.loc[table["rank"] == rank, "path"], key=lambda path: hashlib.sha256(path.encode()).digest()
        )
        for column, path in enumerate(images[:per_rank]):
            picture = ImageOps.contain(open_rgb(manifest.root / path), (size, size))
            sheet.paste(picture, (left + column * pitch, top + (size - picture.height) // 2))
    return sheet


def _order(path: str) -> bytes:
    return hashlib.sha256(path.encode()).digest()
