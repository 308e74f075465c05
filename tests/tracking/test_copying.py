import json
import math
from typing import Any

import pytest

from ordinalclip.runs.run import Run
from ordinalclip.tracking import copying
from ordinalclip.tracking.copying import copy_run, is_shown
from ordinalclip.tracking.store import Store
from tests.tracking.conftest import Shown
from tests.tracking.made import begin_run, log_epoch

pytestmark = pytest.mark.slow  # creating MLflow's tables takes seconds


def history(store: Store, shown: Any, name: str) -> list[tuple[int, float]]:
    client, _ = store.open()
    points = [(point.step, point.value) for point in client.get_metric_history(shown.info.run_id, name)]
    return sorted(points)


def test_a_run_is_shown_as_it_is_recorded(run: Run, store: Store, shown: Shown) -> None:
    copy_run(store, run)
    found = shown(run)
    assert found.info.status == "RUNNING"
    assert found.info.run_name == run.directory.name
    assert found.data.params["prompt.num_base_ranks"] == "3"
    assert found.data.params["prompt"] == "rank"
    assert found.data.params["subset.shots"] == "4"
    assert "subset.hide_every" not in found.data.params
    wanted = {"sweep": "mine", "sweep.mine": "true", "selected_on": "test", "seed": "0", "fold": "2", "attempts": "1"}
    wanted |= {"git": "abc", "dirty": "False", "tag.first": "true"}
    assert wanted.items() <= found.data.tags.items()
    assert not {"sweep", "selected_on"} & found.data.params.keys()

    run.log_metrics({"test/mae": 0.25}, epoch=3, step=0)
    (run.directory / "figures").mkdir()
    (run.directory / "figures" / "confusion.png").write_bytes(b"png")
    run.set_status("finished")
    assert not is_shown(run, found)
    copy_run(store, run)
    found = shown(run)
    assert is_shown(run, found)
    assert found.info.status == "FINISHED"
    assert found.data.metrics["test/mae"] == 0.25
    assert history(store, found, "val/mae") == [(0, 1.0), (1, 0.5), (2, 1 / 3)]
    client, _ = store.open()
    names = {file.path for file in client.list_artifacts(found.info.run_id)}
    assert {"config.yaml", "labels.json", "status.json", "figures"} <= names
    assert [file.path for file in client.list_artifacts(found.info.run_id, "figures")] == ["figures/confusion.png"]


def test_copying_again_adds_nothing(run: Run, store: Store, shown: Shown) -> None:
    for _ in range(2):
        copy_run(store, run)
        client, _ = store.open()
        client.delete_tag(shown(run).info.run_id, "ordinalclip.copied")  # as if the copy had been cut short
    assert history(store, shown(run), "val/mae") == [(0, 1.0), (1, 0.5), (2, 1 / 3)]


def test_an_epoch_that_was_done_again_is_one_point(run: Run, store: Store, shown: Shown) -> None:
    copy_run(store, run)
    log_epoch(run, 2)  # a kill between its record and its checkpoint: done again, to the same values
    log_epoch(run, 3)
    copy_run(store, run)
    wanted = [(0, 1.0), (1, 0.5), (2, 1 / 3), (3, 0.25)]
    assert history(store, shown(run), "val/mae") == wanted
    client, _ = store.open()
    client.delete_run(shown(run).info.run_id)
    copy_run(store, run)  # all at once
    assert history(store, shown(run), "val/mae") == wanted


def test_one_run_across_requeues_with_the_right_status_at_every_moment(run: Run, store: Store, shown: Shown) -> None:
    seen = []
    for attempt in (1, 2, 3):
        run.set_status("running")
        copy_run(store, run)
        seen.append((shown(run).info.run_id, shown(run).info.status, shown(run).data.tags["attempts"]))
        log_epoch(run, 2 + attempt)
        run.set_status("interrupted" if attempt < 3 else "finished")
        copy_run(store, run)
        seen.append((shown(run).info.run_id, shown(run).info.status, shown(run).data.tags["attempts"]))
        run.release("interrupted")
        run.claim()
    assert len({mlflow_id for mlflow_id, _, _ in seen}) == 1
    assert [status for _, status, _ in seen] == ["RUNNING", "KILLED", "RUNNING", "KILLED", "RUNNING", "FINISHED"]
    assert [number for _, _, number in seen] == ["1", "1", "2", "2", "3", "3"]
    assert [step for step, _ in history(store, shown(run), "val/mae")] == list(range(6))


def test_a_failed_runs_traceback_is_told_until_it_goes_on(run: Run, store: Store, shown: Shown) -> None:
    tail = 'File "a.py", line 3\nValueError: too much'
    run.set_status("failed", error="ValueError: too much", traceback_tail=tail)
    (run.directory / "run.log").write_text("what was logged")
    copy_run(store, run)
    found = shown(run)
    assert found.info.status == "FAILED"
    assert found.data.tags["error"] == "ValueError: too much"
    assert 'File "a.py", line 3' in found.data.tags["mlflow.note.content"]
    client, _ = store.open()
    assert "run.log" in {file.path for file in client.list_artifacts(found.info.run_id)}
    run.set_status("running")
    copy_run(store, run)
    assert not {"error", "mlflow.note.content"} & shown(run).data.tags.keys()


def test_a_description_that_somebody_wrote_stays(run: Run, store: Store, shown: Shown) -> None:
    copy_run(store, run)
    client, _ = store.open()
    client.set_tag(shown(run).info.run_id, "mlflow.note.content", "look at this one")
    run.set_status("failed", error="ValueError: too much")
    copy_run(store, run)
    run.set_status("running")
    copy_run(store, run)
    assert shown(run).data.tags["mlflow.note.content"] == "look at this one"


def test_a_rerun_is_a_run_of_its_own(run: Run, store: Store, shown: Shown) -> None:
    copy_run(store, run)
    run.set_status("finished", created="2026-01-01T00:00:00+0000")  # as after archiving: the record begins anew
    (run.directory / "metrics.jsonl").unlink()
    run.log_metrics({"val/mae": 0.1}, epoch=0, step=10)
    copy_run(store, run)
    assert history(store, shown(run), "val/mae") == [(0, 0.1)]
    client, experiment = store.open()
    every = client.search_runs([experiment])
    assert {found.data.tags.get("ordinalclip.archived") for found in every} == {None, run.run_id}


@pytest.mark.parametrize("what", ["run", "experiment", "store"])
def test_what_was_deleted_in_the_store_comes_back_whole(what: str, run: Run, store: Store, shown: Shown) -> None:
    copy_run(store, run)
    client, experiment = store.open()
    if what == "run":
        client.delete_run(shown(run).info.run_id)
    elif what == "experiment":
        client.delete_experiment(experiment)
        store.forget()
    else:
        for file in run.directory.parent.glob("mlflow.db*"):
            file.unlink()
    log_epoch(run, 3)
    copy_run(store, run)
    assert [value for _, value in history(store, shown(run), "val/mae")] == [1.0, 0.5, 1 / 3, 0.25]


def test_two_that_show_one_run_become_one(
    run: Run, store: Store, shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(copying, "find_shown", lambda *_: None)
        copy_run(store, run)  # two hosts, neither of which saw the other
        copy_run(store, run)
    log_epoch(run, 3)
    copy_run(store, run)
    assert len(history(store, shown(run), "val/mae")) == 4


def test_more_choices_than_a_request_takes(run: Run, store: Store, shown: Shown) -> None:
    run.write_json("identity.json", {"seed": 1, **{f"k{index}": index for index in range(250)}})
    run.write_json("labels.json", {"prompt": "x" * 9000, "tags": [f"t{index}" for index in range(150)]})
    for epoch in range(3, 120):
        log_epoch(run, epoch, names=20)
    copy_run(store, run)
    found = shown(run)
    assert found.data.params["k249"] == "249"
    assert found.data.tags["tag.t149"] == "true"
    assert history(store, found, "val/more17") == [(epoch, 17 + epoch / 7) for epoch in range(3, 120)]


def test_choices_that_a_kill_kept_back_come_later(run: Run, store: Store, shown: Shown) -> None:
    (run.directory / "identity.json").unlink()
    copy_run(store, run)
    assert "prompt.num_base_ranks" not in shown(run).data.params
    run.write_json("identity.json", {"seed": 0, "prompt": {"num_base_ranks": 3}})
    copy_run(store, run)
    assert shown(run).data.params["prompt.num_base_ranks"] == "3"


def test_times_are_the_runs_own(run: Run, store: Store, shown: Shown) -> None:
    run.set_status("failed", created="2026-01-01T10:00:00+0100")
    copy_run(store, run)
    assert shown(run).info.start_time == 1767258000000


def test_values_that_are_no_numbers_are_shown_as_such(run: Run, store: Store, shown: Shown) -> None:
    run.log_metrics({"val/mae": float("nan"), "train/loss": float("inf")}, epoch=3, step=40)
    copy_run(store, run)
    assert math.isnan(shown(run).data.metrics["val/mae"])


def test_a_run_belongs_to_every_sweep_that_lists_it(run: Run, store: Store, shown: Shown) -> None:
    copy_run(store, run)
    notes = run.directory.parent / "sweeps"
    notes.mkdir()
    (notes / "later.json").write_text(json.dumps({"runs": {run.directory.name: []}}))
    (notes / "torn.json").write_text("{")
    assert not is_shown(run, shown(run))
    copy_run(store, run)
    assert shown(run).data.tags["sweep"] == "later,mine"
    assert shown(run).data.tags["sweep.later"] == "true"


def test_what_is_not_begun_is_not_shown(run: Run, store: Store, shown: Shown) -> None:
    copy_run(store, run)
    copy_run(store, Run(run.directory.parent / "elpv-mini-rank-s9-9999999999"))
    client, experiment = store.open()
    assert len(client.search_runs([experiment])) == 1


def test_a_moved_run_is_the_same_one(run: Run, store: Store, shown: Shown) -> None:
    copy_run(store, run)
    run.set_status("finished")
    run.release("finished")
    moved = Run(run.directory.rename(run.directory.with_name(f"other-{run.run_id}")))
    copy_run(store, moved)
    assert shown(moved).data.tags["directory"] == str(moved.directory)


def test_runs_beside_each_other(run: Run, root: Any, store: Store, shown: Shown) -> None:
    other = begin_run(root, 1, prompt="context")
    copy_run(store, run)
    copy_run(store, other)
    assert (shown(run).data.params["prompt"], shown(other).data.params["prompt"]) == ("rank", "context")
    other.release("finished")
