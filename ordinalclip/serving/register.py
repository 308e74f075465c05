"""A finished run as a registered MLflow model: an ONNX export behind a script, with signature, example and versions."""

import base64
import io
import logging
import tempfile
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from ordinalclip.errors import ConfigError
from ordinalclip.exporting.write import write_export
from ordinalclip.inference.opening import ranks_of
from ordinalclip.inference.predictions import prob_columns
from ordinalclip.preparation.reopen import Record
from ordinalclip.runs.run import Run
from ordinalclip.system import PACKAGE
from ordinalclip.tracking import CREATED_TAG, RUN_ID_TAG

log = logging.getLogger("ordinalclip")

# Packages needed for prediction, pinned to the installed versions.
_REQUIRED = (
    "mlflow",
    "torch",
    "torchvision",
    "numpy",
    "pandas",
    "pillow",
    "scipy",
    "safetensors",
    "onnxruntime",
    "hydra-core",
    "omegaconf",
    "torchmetrics",
    "tqdm",
    "rich",
    "pyyaml",
)


def register(record: Record, uri: str, mlflow_id: str, name: str | None = None) -> str:
    """Exports a run, logs it as a model of its MLflow run, and registers it.

    Args:
        record: Record of a finished run.
        uri: URI of the MLflow store.
        mlflow_id: Id of the run in the store.
        name: Name of the registered model; by default `ordinalclip-<data>-<backbone>-<prompt>`.

    Returns:
        The model's URI, `models:/<name>/<version>`.

    Raises:
        ConfigError: If the store has no model registry.
    """
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    ranks = ranks_of(record)
    if name is None:
        options = [record.cfg[group].get("name") for group in ("dataset", "backbone", "prompt")]
        name = "-".join(["ordinalclip", *filter(None, options)])
    outputs: list[Any] = [ColSpec("long", "rank"), ColSpec("string", "name")]
    outputs += [ColSpec("double", column) for column in ("value", "expectation", "lower", "upper", "coverage")]
    outputs += [ColSpec("float", column) for column in prob_columns(ranks.names)]
    signature = ModelSignature(Schema([ColSpec("string", "image")]), Schema(outputs))
    mlflow.set_tracking_uri(uri)
    mlflow.environment_variables.MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR.set(False)  # six small files need none
    with tempfile.TemporaryDirectory() as folder:
        export = Path(folder) / "export"
        write_export(record, export, "onnx", "fp32", None)
        client = mlflow.MlflowClient(uri)
        status = client.get_run(mlflow_id).info
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MLflow warns about its own defaults
            try:
                with mlflow.start_run(run_id=mlflow_id):
                    logged = mlflow.pyfunc.log_model(
                        name="model",
                        python_model=str(Path(__file__).with_name("pyfunc_model.py")),
                        artifacts={"export": str(export)},
                        code_paths=[str(PACKAGE)],
                        signature=signature,
                        input_example=_example(),
                        pip_requirements=[_pinned(package) for package in _REQUIRED],
                    )
            finally:  # an error in start_run marks the run as FAILED; the run itself has finished
                client.set_terminated(mlflow_id, status.status, end_time=status.end_time)
    try:
        version = mlflow.register_model(logged.model_uri, name, tags=_tags(record))
    except mlflow.exceptions.MlflowException as error:
        raise ConfigError("tracking.uri", uri, f"cannot register models: {error}") from None
    log.info("registered %s, version %s", name, version.version)
    return f"models:/{name}/{version.version}"


def find_shown(run: Run, uri: str) -> str:
    """Returns the id of a run in an MLflow store.

    Raises:
        ConfigError: If the store does not contain the run.
    """
    import mlflow

    client = mlflow.MlflowClient(uri)
    experiments = [found.experiment_id for found in client.search_experiments()]
    found = list(client.search_runs(experiments, f"tags.`{RUN_ID_TAG}` = '{run.run_id}'"))
    if not found:
        problem, remedy = f"is not in MLflow at {uri}", "python -m analysis.sync copies runs there"
        raise ConfigError("run", run.directory.name, problem, remedy=remedy)
    created = run.status().get("created")  # the store may contain another run with the same settings
    mlflow_id: str = next((one for one in found if one.data.tags.get(CREATED_TAG) == created), found[0]).info.run_id
    return mlflow_id


def is_registered(run: Run, uri: str) -> bool:
    """Returns whether a registered model has a version of this run."""
    import mlflow

    versions = mlflow.MlflowClient(uri).search_model_versions(f"tags.`{RUN_ID_TAG}` = '{run.run_id}'")
    return len(versions) > 0


def _pinned(package: str) -> str:
    """Returns a requirement with the installed version, without a local suffix such as `+cu126`."""
    return f"{package}=={metadata.version(package).partition('+')[0]}"


def _example() -> pd.DataFrame:
    """Returns an example input: a gray image of 8 × 8 pixels."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "grey").save(file, "PNG")
    return pd.DataFrame({"image": [base64.b64encode(file.getvalue()).decode()]})


def _tags(record: Record) -> dict[str, Any]:
    labels = record.run.read_json("labels.json") or {}
    tags = {RUN_ID_TAG: record.run.run_id, "directory": record.run.directory.name}
    return tags | {key: labels[key] for key in ("selected_on",) if key in labels}
