import logging
from pathlib import Path

import pytest

from ordinalclip.runs import Run
from ordinalclip.tracking import RUN_ID_TAG, MLflowMirror, choices

pytestmark = pytest.mark.slow  # creating MLflow's tables takes seconds


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(tmp_path / "runs" / "elpv-mini-rank-s0-0123456789")
    run.claim()
    run.write_json("identity.json", {"seed": 0, "prompt": {"num_base_ranks": 3}})
    run.write_json("labels.json", {"prompt": "rank", "sweep": "mine", "tags": ["first"]})
    run.write("config.yaml", "seed: 0\n")
    for epoch in range(3):
        run.log_metrics({"val/mae": 1.0 / (epoch + 1), "train/loss": 2.0}, epoch=epoch, step=10 * epoch)
    run.set_status("running")
    return run


def mirror(tmp_path: Path, name: str = "mlflow.db") -> MLflowMirror:
    return MLflowMirror(uri=f"sqlite:///{tmp_path / 'runs' / name}", experiment="ordinalclip", every_s=0)


def stored(mirror: MLflowMirror, run: Run):  # type: ignore[no-untyped-def]
    import mlflow

    client = mlflow.MlflowClient(mirror.uri)
    experiment = client.get_experiment_by_name("ordinalclip")
    assert experiment is not None
    (found,) = client.search_runs([experiment.experiment_id], f"tags.`{RUN_ID_TAG}` = '{run.run_id}'")
    return client, found


def test_a_run_is_shown_as_it_is_recorded(run: Run, tmp_path: Path) -> None:
    store = mirror(tmp_path)
    store.sync(run, final=False)
    client, shown = stored(store, run)
    assert shown.info.status == "RUNNING"
    assert shown.data.params["prompt.num_base_ranks"] == "3"
    assert shown.data.params["prompt"] == "rank"
    assert shown.data.tags["sweep"] == "mine"

    run.log_metrics({"test/mae": 0.25}, epoch=3, step=0)
    run.set_status("finished")
    store.sync(run, final=True)
    client, shown = stored(store, run)
    assert shown.info.status == "FINISHED"
    assert shown.data.metrics["test/mae"] == 0.25
    assert [(m.step, m.value) for m in client.get_metric_history(shown.info.run_id, "val/mae")] == [
        (0, 1.0),
        (1, 0.5),
        (2, 1 / 3),
    ]
    assert [artifact.path for artifact in client.list_artifacts(shown.info.run_id)] == ["config.yaml"]


def test_copying_again_from_another_process_adds_nothing(run: Run, tmp_path: Path) -> None:
    mirror(tmp_path).sync(run, final=False)
    mirror(tmp_path).sync(run, final=False)  # knows nothing of what the first has copied
    client, shown = stored(mirror(tmp_path), run)
    assert len(client.get_metric_history(shown.info.run_id, "val/mae")) == 3


def test_a_deleted_store_is_rebuilt_from_the_record(run: Run, tmp_path: Path) -> None:
    store = mirror(tmp_path, "other.db")
    store.sync(run, final=True)
    _, shown = stored(store, run)
    assert shown.data.metrics["val/mae"] == pytest.approx(1 / 3)


def test_a_store_that_cannot_be_written_costs_a_warning(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    store = MLflowMirror(uri=f"sqlite:///{tmp_path}/file/mlflow.db", experiment="ordinalclip", every_s=0)
    with caplog.at_level(logging.WARNING):
        store.sync(run, final=True)
    assert "the run goes on" in caplog.text


def test_choices_are_flat() -> None:
    assert choices({"a": {"b": 1, "c": {"d": [1, 2]}}, "e": True}) == {"a.b": 1, "a.c.d": [1, 2], "e": True}
