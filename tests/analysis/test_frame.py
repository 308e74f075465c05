import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from omegaconf import OmegaConf

from analysis.frame import (
    frame_of_directories,
    frame_of_folder,
    runs_in_sweep,
    score_columns,
    setting_column,
    setting_columns,
)
from analysis.record import flatten, read_settings
from tests.analysis.made_runs import made_run, write
from tests.conftest import Compose


def test_a_row_a_run_with_settings_and_scores(tmp_path: Path) -> None:
    made_run(tmp_path, "b1", {"seed": 3, "subset.shots": 4}, scores={"test/mae": 0.5, "test/num_images": 7})
    made_run(tmp_path, "a1", {"prompt.name": "context"}, scores={"test/mae": 0.25}, labels={"sweep": "first"})
    (tmp_path / "mlartifacts").mkdir()  # not a run
    frame = frame_of_folder(tmp_path)
    assert frame["run_id"].tolist() == ["a1", "b1"]
    assert frame["directory"].tolist() == [str(tmp_path / "made-a1"), str(tmp_path / "made-b1")]
    assert frame["state"].tolist() == ["finished"] * 2
    assert frame["prompt.name"].tolist() == ["context", "rank"]
    assert frame["seed"].tolist() == [0, 3]
    assert frame["test/mae"].tolist() == [0.25, 0.5]
    assert frame["created"].tolist() == [pd.Timestamp("2026-01-02T03:04:05Z")] * 2
    assert frame.loc[1, "subset.shots"] == 4
    assert frame["subset.shots"].isna().tolist() == [True, False]
    assert np.isnan(frame.loc[0, "test/num_images"])
    assert frame["problem"].isna().all()
    assert score_columns(frame) == ["test/mae", "test/num_images"]
    assert {"seed", "lr", "prompt.name", "protocol.split.seed", "subset.shots"} <= set(setting_columns(frame))


def test_types_are_what_the_docstring_says(tmp_path: Path) -> None:
    for number, (lr, flag, mixed) in enumerate([(1, True, 5), (0.5, None, "five"), (None, False, [5])]):
        made_run(tmp_path, f"{number}", {"lr": lr, "compile": flag, "mixed": mixed}, scores={"test/mae": number})
    types = frame_of_folder(tmp_path).dtypes
    expected = {
        "seed": "Int64",
        "lr": "float64",
        "compile": "boolean",
        "mixed": "str",
        "prompt.name": "str",
        "test/mae": "float64",
        "seconds": "float64",
        "run_id": "str",
        "created": "datetime64[us, UTC]",
    }
    assert {name: str(types[name]) for name in expected} == expected
    assert frame_of_folder(tmp_path)["mixed"].tolist() == ["5", "five", "[5]"]


@pytest.mark.parametrize(
    ("cells", "dtype", "read"),
    [
        ([True, None, False], "boolean", [True, pd.NA, False]),
        ([1, None, 2], "Int64", [1, pd.NA, 2]),
        ([1, 2.5], "float64", [1.0, 2.5]),
        ([True, 2], "str", ["true", "2"]),
        (["a", None], "str", ["a", None]),
        ([None, None], "object", [None, None]),
    ],
)
def test_typed_column(cells: list[Any], dtype: str, read: list[Any]) -> None:
    column = setting_column(cells)
    assert column.dtype == dtype
    assert [None if pd.isna(cell) else cell for cell in column] == [None if pd.isna(cell) else cell for cell in read]


def test_what_is_missing_or_torn_costs_only_itself(tmp_path: Path) -> None:
    whole = made_run(tmp_path, "0", scores={"test/mae": 0.5})
    torn = made_run(tmp_path, "1", scores={"test/mae": 0.5})
    (torn / "test_stats.json").write_text('{"test/mae": 0.', encoding="utf-8")
    unlabelled = made_run(tmp_path, "2", labels={"prompt": "of the labels"}, scores={"test/mae": 0.75})
    (unlabelled / "config.yaml").write_text("seed: [0\nprompt: {name", encoding="utf-8")
    (unlabelled / "ordinality.json").write_bytes(b"\xff\xfe")
    empty = made_run(tmp_path, "3")
    for name in ("status.json", "config.yaml", "labels.json"):
        (empty / name).unlink()
    strange = made_run(tmp_path, "4")
    write(strange, "status.json", ["finished"])
    write(strange, "test_stats.json", {"test/mae": "low", "test/ok": True, "test/n": 3})
    frame = frame_of_directories([whole, torn, unlabelled, empty, strange])
    assert frame["problem"].fillna("").tolist() == [
        "",
        "test_stats.json cannot be read",
        "config.yaml cannot be read; ordinality.json cannot be read",
        "no config.yaml",
        "status.json cannot be read",
    ]
    assert frame["state"].tolist() == ["finished", "finished", "finished", "new", "unknown"]
    assert frame["seed"].tolist() == [0] * 5
    assert frame["test/mae"].round(6).fillna(-1).tolist() == [0.5, -1, 0.75, -1, -1]
    assert frame["prompt.name"].tolist() == ["rank", "rank", "of the labels", "of the identity", "rank"]
    assert "test/ok" not in frame
    assert frame.loc[4, "test/n"] == 3


def test_states_of_runs_that_are_not_finished(tmp_path: Path) -> None:
    for state in ("failed", "interrupted", "running"):
        made_run(tmp_path, state, status=state)
    frame = frame_of_folder(tmp_path).set_index("run_id")
    # Nobody holds the lease of the one that says it is running.
    assert frame["state"].to_dict() == {"failed": "failed", "interrupted": "interrupted", "running": "interrupted"}


def test_options_of_later_versions_are_neutral_in_older_runs(tmp_path: Path) -> None:
    made_run(tmp_path, "0")
    made_run(tmp_path, "1", {"label_draw": "random", "features.views": 3})
    frame = frame_of_folder(tmp_path)
    assert frame["label_draw"].tolist() == ["median", "random"]
    assert frame["features.views"].tolist() == [0, 3]


def test_a_run_belongs_to_many_sweeps(tmp_path: Path) -> None:
    made_run(tmp_path, "0", labels={"sweep": "first"})
    made_run(tmp_path, "1")
    made_run(tmp_path, "2")
    (tmp_path / "sweeps").mkdir()
    write(tmp_path / "sweeps", "second.json", {"runs": {"made-0": ["seed=0"], "made-1": []}})
    (tmp_path / "sweeps" / "torn.json").write_text("{", encoding="utf-8")
    frame = frame_of_folder(tmp_path)
    assert frame["sweep"].fillna("").tolist() == ["first,second", "second", ""]
    assert runs_in_sweep(frame, "second")["run_id"].tolist() == ["0", "1"]
    assert runs_in_sweep(frame, "sec").empty


def test_ordinality_is_one_score_and_its_parts(tmp_path: Path) -> None:
    directory = made_run(tmp_path, "0")
    best = {"score": 0.75, "off_diagonal": 0.5, "spans": {"1": 1.0}}
    write(directory, "ordinality.json", {"before": {"score": 0.5}, "best": best})
    (row,) = frame_of_folder(tmp_path).to_dict("records")
    assert (row["ordinality"], row["ordinality/before/score"], row["ordinality/best/off_diagonal"]) == (0.75, 0.5, 0.5)


def test_no_runs_are_a_table_without_rows(tmp_path: Path) -> None:
    frame = frame_of_folder(tmp_path)
    assert frame.empty
    assert {"run_id", "state", "seed", "sweep"} <= set(frame)


def test_settings_are_read_as_yaml_reads_them(compose_cfg: Compose) -> None:
    words = "a sentence that is long enough to be folded over lines by whoever writes it: " * 3
    cfg = compose_cfg("prompt=rank", "tags=[one,two]", f"prompt.context='{words}'") | {"text": "two\n\nlines\n", "5": 1}
    text = OmegaConf.to_yaml(OmegaConf.create(cfg))
    assert read_settings(text) == dict(flatten(yaml.safe_load(text)))
    assert json.dumps(read_settings(text)["tags"]) == '["one", "two"]'


@pytest.mark.slow
def test_a_store_gives_the_table_of_the_directories(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    from analysis import frame as store
    from ordinalclip.runs.run import Run
    from ordinalclip.tracking import MLflowMirror

    for seed in range(3):
        settings = {"seed": seed, "subset.shots": seed or None}
        directory = made_run(tmp_path, f"{seed}", settings, scores={"test/mae": seed}, labels={"sweep": "first"})
        write(
            directory,
            "identity.json",
            {"seed": seed, "prompt": {"num_base_ranks": 3}, "backbone": {"weights": {"all": "ab"}}},
        )
        write(directory, "provenance.json", {"code": {"git": "abc"}, "manifest": "cd"})
    (tmp_path / "sweeps").mkdir()
    write(tmp_path / "sweeps", "second.json", {"runs": {"made-1": []}})
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    mirror = MLflowMirror(uri=uri, experiment="one", every_s=0)
    for run in (Run(path) for path in sorted(tmp_path.glob("made-*"))):
        mirror.sync(run, final=True)
    client = MlflowClient(uri)
    others = client.create_run(client.get_experiment_by_name("one").experiment_id, run_name="somebody else's")
    for key, value in (("seed", "3"), ("lr", "1e-05"), ("prompt.context", "None"), ("words", "[1, 2] of 3")):
        client.log_param(others.info.run_id, key, value)
    client.log_metric(others.info.run_id, "val/mae", 0.5)
    here = frame_of_folder(tmp_path)
    assert here["sweep"].fillna("").tolist() == ["first", "first,second", "first"]
    found = store.frame_of_store(uri)
    pd.testing.assert_frame_equal(found[list(here)].drop(index=3), here, check_dtype=False)
    row = found.loc[3]
    assert (row["run_id"], row["state"], row["problem"]) == (others.info.run_id, "running", "no record in the store")
    assert (row["seed"], row["lr"], row["words"], row["val/mae"]) == (3, 1e-5, "[1, 2] of 3", 0.5)
    assert pd.isna(row["prompt.context"])

    (tmp_path / "elsewhere").mkdir()
    for path in tmp_path.glob("made-*"):
        path.rename(tmp_path / "elsewhere" / path.name)
    there = store.frame_of_store(uri, "one")
    pd.testing.assert_frame_equal(there[list(here)].drop(index=3), here, check_dtype=False)
    with pytest.raises(ValueError, match="experiment=two: is not in the store"):
        store.frame_of_store(uri, "two")
    with pytest.raises(ValueError, match="there is no such file"):
        store.frame_of_store(f"sqlite:///{tmp_path / 'nothing.db'}")
