"""MLflow's client, told not to wait for minutes and not to talk; imported when it is needed, for it takes a second."""

import logging
import os
from typing import Any

# By default a request to a server that is away is tried for four minutes, each try for two.
_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


def load_mlflow() -> None:
    """Imports MLflow; to be called where no other thread imports anything large."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    import mlflow  # noqa: F401

    for name in ("mlflow", "alembic"):  # MLflow sets its own levels when it is imported
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # tracebacks of what it raises anyway
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # it tells of every retry


def client_of(uri: str) -> Any:
    """A client of the store at an address; an SQLite file is opened, and made where there is none.

    Args:
        uri: `sqlite:///path`, or a server's address.
    """
    load_mlflow()
    import mlflow

    return mlflow.MlflowClient(uri)
