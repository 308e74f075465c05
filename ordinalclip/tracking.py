"""MLflow as a window on the record: metrics.jsonl is copied into a store, never the other way round.

Copying carries each value's own timestamp, which makes it harmless to copy again, and a run is found in the store by
the tag that holds our run id, so that a deleted store can be rebuilt from the run directories. A store that fails costs
a run nothing but a warning.
"""

import logging
import os
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Protocol

from ordinalclip.runs import Run
from ordinalclip.signatures import Between

log = logging.getLogger(__name__)

RUN_ID_TAG = "ordinalclip.run_id"
CREATED_TAG = "ordinalclip.created"  # tells a record from an archived one of the same id
ARCHIVED_TAG = "ordinalclip.archived"  # in place of the id, once another record has it
_ARTIFACTS = (
    "config.yaml",
    "overrides.json",
    "provenance.json",
    "test_stats.json",
    "val_stats.json",
    "ordinality.json",
    "leakage.json",
)
_TAGGED = ("sweep", "selected_on")  # labels that are tags, not parameters
_STATUS = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED", "running": "RUNNING"}


class Mirror(Protocol):
    """Shows a run in a tracking store."""

    def prepare(self) -> None:
        """Makes the store, once, before any run that may share it starts."""

    def sync(self, run: Run, *, final: bool) -> None:
        """Copies what is new of a run; `final` copies artifacts and the outcome, too."""


class NoMirror:
    """Keeps to the run directories."""

    def prepare(self) -> None:
        """Nothing to make."""

    def sync(self, run: Run, *, final: bool) -> None:
        """Nothing to copy."""


class MLflowMirror:
    """Copies runs into an MLflow store.

    Args:
        uri: `sqlite:///path` for one machine, or a server's address.
        experiment: MLflow's experiment.
        every_s: seconds between copies of a running run.
    """

    def __init__(self, *, uri: str, experiment: str, every_s: Annotated[float, Between(0, None)]) -> None:
        self.uri, self.experiment, self.every_s = uri, experiment, every_s
        self._last = time.monotonic()
        self._pause_s = every_s  # doubled whenever the store does not answer, which may take it many seconds
        self._lines: dict[str, int] = {}  # MLflow's id → lines of metrics.jsonl that are in the store already
        self._experiment_id = ""

    def prepare(self) -> None:
        """Creates the store and the experiment; later calls find them."""
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        if self.uri.startswith("sqlite:///"):
            Path(self.uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        import mlflow

        for name in ("mlflow", "alembic"):  # MLflow sets its own levels when it is imported
            logging.getLogger(name).setLevel(logging.WARNING)
        mlflow.set_tracking_uri(self.uri)
        client = mlflow.MlflowClient(self.uri)
        found = client.get_experiment_by_name(self.experiment)
        if found is None:
            location = None
            if self.uri.startswith("sqlite:///"):
                location = (Path(self.uri.removeprefix("sqlite:///")).absolute().parent / "mlartifacts").as_uri()
            self._experiment_id = client.create_experiment(self.experiment, artifact_location=location)
        else:
            if found.lifecycle_stage == "deleted":  # its name stays taken, so no other could be made
                client.restore_experiment(found.experiment_id)
            self._experiment_id = found.experiment_id

    def sync(self, run: Run, *, final: bool) -> None:
        """Copies what is new of a run; a store that cannot be reached is reported and left for later."""
        if not final and time.monotonic() - self._last < self._pause_s:
            return
        try:
            self._copy(run, final=final)
            self._pause_s = self.every_s
        except Exception as error:  # whatever a store may raise, it must not end the run
            self._pause_s = 2 * max(self._pause_s, 1.0)
            self._experiment_id = ""  # it may have been deleted, or the store with it: looked for again next time
            log.warning(
                "MLflow at %s could not be written (%s); the run goes on, its record is complete", self.uri, error
            )
        self._last = time.monotonic()

    def _copy(self, run: Run, *, final: bool) -> None:
        if not self._experiment_id:
            self.prepare()
        import mlflow
        from mlflow.entities import Metric

        client = mlflow.MlflowClient(self.uri)
        mlflow_id = self._find_or_create(client, run)
        lines = list(run.metrics())
        new = lines[self._lines.get(mlflow_id, 0) :]
        metrics = [
            Metric(name, value, line["time_ms"], line["epoch"])
            for line in new
            for name, value in line["values"].items()
        ]
        for start in range(0, len(metrics), 900):  # a batch holds 1,000 at most
            client.log_batch(mlflow_id, metrics=metrics[start : start + 900])
        self._lines[mlflow_id] = len(lines)
        if final:
            for name in _ARTIFACTS:
                if (run.directory / name).exists():
                    client.log_artifact(mlflow_id, str(run.directory / name))
            if (run.directory / "figures").is_dir():
                client.log_artifacts(mlflow_id, str(run.directory / "figures"), "figures")
            ended = _milliseconds(run.status().get("updated"))
            client.set_terminated(mlflow_id, _STATUS.get(run.state(), "FAILED"), end_time=ended)

    def _find_or_create(self, client: Any, run: Run) -> str:
        shown = self._find(client, run)
        if shown is None:
            started = _milliseconds(run.status().get("created"))
            name = run.directory.name
            shown = client.create_run(self._experiment_id, start_time=started, run_name=name, tags=_tags(run))
        elif shown.info.status != "RUNNING":
            client.update_run(shown.info.run_id, status="RUNNING")
        from mlflow.entities import Param

        # MLflow refuses to change what it has; what it lacks, a kill may have kept from it.
        params = [Param(key, value) for key, value in _params(run).items() if key not in shown.data.params]
        for start in range(0, len(params), 100):
            client.log_batch(shown.info.run_id, params=params[start : start + 100])
        return shown.info.run_id

    def _find(self, client: Any, run: Run) -> Any:
        """The run in the store, or None; what shows an archived record of it is left to itself."""
        created = run.status().get("created", "")
        for shown in client.search_runs([self._experiment_id], f"tags.`{RUN_ID_TAG}` = '{run.run_id}'"):
            if shown.data.tags.get(CREATED_TAG, created) == created:
                return shown
            client.set_tag(shown.info.run_id, ARCHIVED_TAG, run.run_id)
            client.delete_tag(shown.info.run_id, RUN_ID_TAG)
        return None


def _milliseconds(time: str | None) -> int | None:
    """Of a time in status.json since 1970; None is now, to MLflow."""
    return None if time is None else int(datetime.fromisoformat(time).timestamp() * 1000)


def _params(run: Run) -> dict[str, str]:
    labels = {k: v for k, v in (run.read_json("labels.json") or {}).items() if isinstance(v, str) and k not in _TAGGED}
    chosen = labels | choices(run.read_json("identity.json") or {})
    return {key: str(value)[:6000] for key, value in chosen.items()}


def _tags(run: Run) -> dict[str, str]:
    facts = run.read_json("provenance.json") or {}
    labels = run.read_json("labels.json") or {}
    code = facts.get("code", {})
    tags = {
        RUN_ID_TAG: run.run_id,
        CREATED_TAG: run.status().get("created"),
        "directory": str(run.directory),
        "host": facts.get("host"),
        "git": code.get("git"),
        "dirty": code.get("dirty"),
        "sweep": labels.get("sweep"),
        "selected_on": labels.get("selected_on"),
        "mlflow.user": os.environ.get("USER"),
    }
    tags |= {f"tag.{word}": "true" for word in labels.get("tags", [])}
    return {key: str(value) for key, value in tags.items() if value is not None}


def choices(identity: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested identity as flat `prompt.num_base_ranks` → value pairs."""
    flat: dict[str, Any] = {}
    for key, value in identity.items():
        if isinstance(value, Mapping):
            flat |= choices(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
