"""A loss that waits before each training step as long as a file says, which a test changes while the run goes on."""

import contextlib
import os
import time
from pathlib import Path
from typing import Any

from torch import Tensor

from ordinalclip.losses.ce import CrossEntropy

PACE = "ORDINALCLIP_TEST_PACE"  # environment variable: the file


class PacedCrossEntropy(CrossEntropy):
    """Cross-entropy."""

    def forward(self, *arguments: Any) -> Tensor:
        """Waits, then computes it."""
        if PACE in os.environ:
            with contextlib.suppress(OSError, ValueError):  # being written
                time.sleep(float(Path(os.environ[PACE]).read_text()))
        return super().forward(*arguments)
