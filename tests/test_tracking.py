import logging
import math
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
    run.write_json("labels.json", {"prompt": "rank", "sweep": "mine", "tags": ["first"], "selected_on": "test"})
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
    assert shown.data.tags["selected_on"] == "test"
    assert not {"sweep", "selected_on"} & shown.data.params.keys()

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


def test_a_rerun_is_a_run_of_its_own(run: Run, tmp_path: Path) -> None:
    store = mirror(tmp_path)
    store.sync(run, final=True)
    run.set_status("finished", created="2026-01-01T00:00:00+0000")  # as after archiving: the record begins anew
    (run.directory / "metrics.jsonl").unlink()
    run.log_metrics({"val/mae": 0.1}, epoch=0, step=10)
    store.sync(run, final=True)
    client, shown = stored(store, run)
    assert [(m.step, m.value) for m in client.get_metric_history(shown.info.run_id, "val/mae")] == [(0, 0.1)]
    every = client.search_runs([shown.info.experiment_id])
    assert len(every) == 2
    assert {found.data.tags.get("ordinalclip.archived") for found in every} == {None, run.run_id}


@pytest.mark.parametrize("what", ["run", "experiment"])
def test_what_was_deleted_in_the_store_comes_back_whole(run: Run, tmp_path: Path, what: str) -> None:
    store = mirror(tmp_path)
    store.sync(run, final=False)
    client, shown = stored(store, run)
    if what == "run":
        client.delete_run(shown.info.run_id)
    else:
        client.delete_experiment(shown.info.experiment_id)
    run.log_metrics({"val/mae": 0.2}, epoch=3, step=40)
    store.sync(run, final=False)
    run.log_metrics({"val/mae": 0.1}, epoch=4, step=50)
    store.sync(run, final=True)
    client, shown = stored(store, run)
    history = client.get_metric_history(shown.info.run_id, "val/mae")
    assert [m.value for m in history] == [1.0, 0.5, 1 / 3, 0.2, 0.1]


def test_a_kill_before_the_choices_were_copied_is_made_up_for(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = mirror(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("ordinalclip.tracking._params", lambda run: {})
        store.sync(run, final=False)
    run.write_json("identity.json", {"seed": 1, "prompt": {"num_base_ranks": 3}, **{f"k{i}": i for i in range(250)}})
    run.write_json("labels.json", {"prompt": "x" * 9000})
    store.sync(run, final=False)
    store.sync(run, final=False)
    _, shown = stored(store, run)
    assert shown.data.params["prompt.num_base_ranks"] == "3"
    assert shown.data.params["k249"] == "249"


def test_times_are_the_runs_own(run: Run, tmp_path: Path) -> None:
    run.set_status("failed", created="2026-01-01T10:00:00+0100")
    store = mirror(tmp_path)
    store.sync(run, final=True)
    _, shown = stored(store, run)
    assert shown.info.start_time == 1767258000000
    assert shown.info.status == "FAILED"
    first = shown.info.run_id
    run.set_status("finished")  # typed again, it went on
    mirror(tmp_path).sync(run, final=True)
    _, shown = stored(store, run)
    assert (shown.info.run_id, shown.info.status) == (first, "FINISHED")


def test_values_that_are_no_numbers_are_shown_as_such(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run.log_metrics({"val/mae": float("nan"), "train/loss": float("inf")}, epoch=3, step=40)
    store = mirror(tmp_path)
    store.sync(run, final=True)
    assert "could not be written" not in caplog.text
    _, shown = stored(store, run)
    assert math.isnan(shown.data.metrics["val/mae"])


def test_a_store_that_is_away_is_asked_ever_less_often(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    now, asked = [0.0], []

    def away(*_: object, **__: object) -> None:
        asked.append(now[0])
        raise ConnectionError("nobody there")

    monkeypatch.setattr("ordinalclip.tracking.time.monotonic", lambda: now[0])
    store = MLflowMirror(uri="http://127.0.0.1:9", experiment="ordinalclip", every_s=20)
    monkeypatch.setattr(store, "_copy", away)
    while now[0] < 1000:
        now[0] += 10
        store.sync(run, final=False)
    assert asked == [20, 60, 140, 300, 620]
    store.sync(run, final=True)  # the last chance is taken
    monkeypatch.setattr(store, "_copy", lambda *_, **__: asked.clear())
    store.sync(run, final=True)
    now[0] += 20
    asked.append(0.0)
    store.sync(run, final=False)
    assert asked == []
