"""The script that MLflow stores and runs for a registered model [MLflow, models from code]; nothing is pickled."""

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
    """A table with a column `image` in, one of ranks out; see `ordinalclip.serving.register`."""

    model: RankModel

    def load_context(self, context: Any) -> None:
        """Opens the export that was registered, every file checked."""
        self.model = load_exported(Path(context.artifacts["export"]), torch.device("cpu"))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Ranks of images.

        Args:
            context: MLflow's.
            model_input: a column `image` of strings: base64, or paths within `ORDINALCLIP_IMAGE_ROOTS`.
            params: none.

        Raises:
            MlflowException: naming the row whose image cannot be used; a server answers 400.
        """
        rows = enumerate(model_input["image"])
        logits = [
            self.model.logits(torch.stack([self._pixels(row, text) for row, text in batch]))
            for batch in chunks(rows, BATCH_SIZE)  # of however many are sent, so many are held decoded
        ]
        if not logits:
            raise MlflowException("there are no images: send a row for each", error_code=BAD_REQUEST)
        return self.model.read(torch.cat(logits)).to_frame()

    def _pixels(self, row: int, text: object) -> Tensor:
        image: bytes | Path = b""
        try:
            image = sent_image(text, image_roots(), self.model.limits)
            return self.model.pixels(image)
        except DataError as error:
            told = str(error)
            if isinstance(image, Path):  # not where the server's folders lie
                told = told.replace(str(image), str(text))
            raise MlflowException(f"row {row}: {told}", error_code=BAD_REQUEST) from None


mlflow.models.set_model(ServedRanks())
