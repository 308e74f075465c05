"""A contact sheet of gauges: `python -m ordinalclip.datasets.gauge_sheet docs/gauge.png` made the one in docs/."""

import sys
from pathlib import Path

from PIL import Image

from ordinalclip.datasets.gauge_camera import render_gauge

GAP = 3


def contact_sheet(rows: int, columns: int, *, size: int, num_ranks: int = 101, seed: int = 0) -> Image.Image:
    """Gauges side by side, their readings spread over the scale.

    Args:
        rows: of pictures.
        columns: of pictures.
        size: edge of a picture in pixels.
        num_ranks: readings 0…num_ranks-1.
        seed: of the series of pictures.

    Returns:
        An RGB image.
    """
    pitch = size + GAP
    sheet = Image.new("RGB", (columns * pitch + GAP, rows * pitch + GAP), "white")
    for place in range(rows * columns):
        # 13 shares no factor with 101, so that the readings do not repeat.
        picture = render_gauge(seed, place * 13, num_ranks, size)
        sheet.paste(picture, (GAP + place % columns * pitch, GAP + place // columns * pitch))
    return sheet


if __name__ == "__main__":
    # 256 colours keep the file small.
    contact_sheet(3, 9, size=104).quantize(256).save(Path(sys.argv[1]), optimize=True)
