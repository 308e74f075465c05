from pathlib import Path

import pytest

from ordinalclip.runs.run import find_runs
from ordinalclip.tracking.store import Store
from tests import warm

WRITERS = 16


@pytest.mark.slow
def test_sixteen_processes_and_a_fresh_store_lose_nothing(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    done = warm.run("tests.tracking.made", str(root), str(WRITERS))
    assert (done.returncode, done.stderr) == (0, "")
    client, experiment = Store(f"sqlite:///{root / 'mlflow.db'}", "ordinalclip").open()
    shown = {one.info.run_name: one for one in client.search_runs([experiment])}
    runs = find_runs(root)
    assert sorted(shown) == [run.directory.name for run in runs]
    assert len(runs) == WRITERS
    for run in runs:
        one = shown[run.directory.name]
        assert one.info.status == "FINISHED"
        assert one.data.params["seed"] == str(int(run.run_id))
        lines = list(run.metrics())
        for name in {name for line in lines for name in line["values"]}:
            wanted = [
                (line["epoch"], line["time_ms"], line["values"][name]) for line in lines if name in line["values"]
            ]
            points = client.get_metric_history(one.info.run_id, name)
            assert sorted((point.step, point.timestamp, point.value) for point in points) == wanted
