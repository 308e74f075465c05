import socket
from pathlib import Path

import pytest

from analysis.ui import StoredRun, add_heat_maps, build_views, newest_sweep, page_addresses, start
from ordinalclip.errors import ConfigError
from ordinalclip.tracking import MLflowMirror
from ordinalclip.tracking.copying import HEAT_MAP
from ordinalclip.tracking.store import Store
from tests.conftest import Compose
from tests.made_record import made_record


def test_views_average_what_repeats_a_run() -> None:
    repeats = [{"seed": str(seed), "subset.seed": str(seed), "protocol.split.fold": str(seed)} for seed in (0, 1)]
    runs = [
        StoredRun("id", {"prompt": prompt, **repeat}, ["test/mae"])
        for prompt in ("rank", "linear")
        for repeat in repeats
    ]
    made = build_views(runs, "first")
    assert made["groups"]["groupBy"]["groupByKeys"] == [{"mode": "param", "groupByData": "prompt"}]
    assert made["groups"]["selectedColumns"] == ["params.`prompt`", "metrics.`test/mae`"]


@pytest.mark.slow
def test_runs_of_a_sweep_get_their_maps_when_somebody_looks(tmp_path: Path, compose_cfg: Compose) -> None:
    run = made_record(tmp_path, compose_cfg("prompt=rank"), num_ranks=5)
    store = Store(f"sqlite:///{tmp_path / 'mlflow.db'}", "one")
    MLflowMirror(uri=store.uri, experiment="one", every_s=0).sync(run, final=True)
    name, shown = newest_sweep(store)
    assert (name, len(shown)) == (None, 1)
    assert add_heat_maps(store, shown) == 1
    assert {file.stem for file in (run.directory / "figures").iterdir()} == {HEAT_MAP}
    (one,) = newest_sweep(store)[1]
    images = store.open()[0].list_artifacts(one.info.run_id, "images")
    assert any(HEAT_MAP in image.path for image in images)
    assert add_heat_maps(store, [one]) == 0  # they are there
    assert set(page_addresses(store, "http://here", name, [one])) == {"table", "charts"}
    store.open()[0].create_registered_model("grades")
    assert page_addresses(store, "http://here", name, [one])["models"] == "http://here/#/models"

    run.directory.rename(tmp_path / "elsewhere")
    assert add_heat_maps(store, shown) == 0  # the record lies on another machine, say


def test_a_port_that_is_taken_is_told_before_addresses_are(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").touch()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"port={port}: is taken"):
            start([f"store={tmp_path / 'mlflow.db'}", f"port={port}"])
