"""The script that MLflow stores and runs for a registered model (MLflow's "models from code"); nothing is pickled.

Stored copies of this script import this package: the names that it imports have to stay.
"""

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import torch
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST
from mlflow.pyfunc import PythonModel
from torch import Tensor

from ordinalclip.errors import DataError
from ordinalclip.inference.exported import load_exported
from ordinalclip.inference.model import BATCH_SIZE, RankModel, chunks
from ordinalclip.serving.sent_images import image_roots, sent_image


class ServedRanks(PythonModel):
    """Model from a table with a column `image` to a table of ranks; see `ordinalclip.serving.register`."""

    model: RankModel

    def load_context(self, context: Any) -> None:
        """Loads the registered export and checks its checksums."""
        self.model = load_exported(Path(context.artifacts["export"]), torch.device("cpu"))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Predicts ranks of images.

        Args:
            context: MLflow's context; unused.
            model_input: Table with a column `image` of strings: base64, or paths within `ORDINALCLIP_IMAGE_ROOTS`.
            params: Unused.

        Raises:
            MlflowException: If an image cannot be used, naming its row; a server responds with status 400.
        """
        rows = enumerate(model_input["image"])
        logits = [
            self.model.logits(torch.stack([self._pixels(row, text) for row, text in batch]))
            for batch in chunks(rows, BATCH_SIZE)  # limits the number of decoded images in memory
        ]
        if not logits:
            raise MlflowException("there are no images: send one row per image", error_code=BAD_REQUEST)
        return self.model.read(torch.cat(logits)).to_frame()

    def _pixels(self, row: int, text: object) -> Tensor:
        image: bytes | Path = b""
        try:
            image = sent_image(text, image_roots(), self.model.limits)
            return self.model.pixels(image)
        except DataError as error:
            message = str(error)
            if isinstance(image, Path):  # do not disclose the server's folders
                message = message.replace(str(image), str(text))
            raise MlflowException(f"row {row}: {message}", error_code=BAD_REQUEST) from None


mlflow.models.set_model(ServedRanks())
