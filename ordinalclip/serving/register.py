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

# What predicting takes, at the versions that are installed here.
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
        record: of a finished run.
        uri: MLflow's store.
        mlflow_id: the run in it.
        name: of the registered model; None: `ordinalclip-<data>-<backbone>-<prompt>`.

    Returns:
        The model's address, `models:/<name>/<version>`.

    Raises:
        ConfigError: the store has no registry.
    """
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    ranks = ranks_of(record)
    called = [record.cfg[group].get("name") for group in ("dataset", "backbone", "prompt")]
    name = "-".join(["ordinalclip", *(word for word in called if word)]) if name is None else name
    outputs: list[Any] = [ColSpec("long", "rank"), ColSpec("string", "name")]
    outputs += [ColSpec("double", column) for column in ("value", "expectation", "lower", "upper", "coverage")]
    outputs += [ColSpec("float", column) for column in prob_columns(ranks.names)]
    signature = ModelSignature(Schema([ColSpec("string", "image")]), Schema(outputs))
    mlflow.set_tracking_uri(uri)
    mlflow.environment_variables.MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR.set(False)  # of six small files
    with tempfile.TemporaryDirectory() as folder:
        export = Path(folder) / "export"
        write_export(record, export, "onnx", "fp32", None)
        client = mlflow.MlflowClient(uri)
        status = client.get_run(mlflow_id).info
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MLflow's own, about its own defaults
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
            finally:  # MLflow calls a run FAILED in which something fails; this one ended long ago
                client.set_terminated(mlflow_id, status.status, end_time=status.end_time)
    try:
        version = mlflow.register_model(logged.model_uri, name, tags=_tags(record))
    except mlflow.exceptions.MlflowException as error:
        raise ConfigError("tracking.uri", uri, f"takes no models: {error}") from None
    log.info("registered %s, version %s", name, version.version)
    return f"models:/{name}/{version.version}"


def find_shown(run: Run, uri: str) -> str:
    """MLflow's id of a run.

    Raises:
        ConfigError: the store does not show it.
    """
    import mlflow

    client = mlflow.MlflowClient(uri)
    experiments = [found.experiment_id for found in client.search_experiments()]
    found = list(client.search_runs(experiments, f"tags.`{RUN_ID_TAG}` = '{run.run_id}'"))
    if not found:
        problem, remedy = f"is not in MLflow at {uri}", "python -m analysis.sync copies runs there"
        raise ConfigError("run", run.directory.name, problem, remedy=remedy)
    created = run.status().get("created")  # others may have made a run of the same settings
    mlflow_id: str = next((one for one in found if one.data.tags.get(CREATED_TAG) == created), found[0]).info.run_id
    return mlflow_id


def is_registered(run: Run, uri: str) -> bool:
    """Whether a version of a registered model is of this run."""
    import mlflow

    versions = mlflow.MlflowClient(uri).search_model_versions(f"tags.`{RUN_ID_TAG}` = '{run.run_id}'")
    return len(versions) > 0


def _pinned(package: str) -> str:
    """A package at the version that is installed, without a build's name (`+cu126`), which no registry has."""
    return f"{package}=={metadata.version(package).partition('+')[0]}"


def _example() -> pd.DataFrame:
    """A request: a grey image of 8 pixels."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "grey").save(file, "PNG")
    return pd.DataFrame({"image": [base64.b64encode(file.getvalue()).decode()]})


def _tags(record: Record) -> dict[str, Any]:
    labels = record.run.read_json("labels.json") or {}
    stamps = {"selected_on": labels["selected_on"]} if "selected_on" in labels else {}
    return {"ordinalclip.run_id": record.run.run_id, "directory": record.run.directory.name} | stamps
