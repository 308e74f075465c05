"""`launch.plan` lists runs, reasons and costs, and starts nothing."""

import json
import math
import re
from pathlib import Path

import pytest

from launch.composition import read_sweep
from launch.cost import FinishedRuns, cost_of, cost_rates, total_hours
from launch.plan import run as plan
from ordinalclip.config.compose import plain_config
from ordinalclip.errors import ConfigError
from ordinalclip.report.published import read_published
from tests.launch.fake_slurm import FakeSlurm


@pytest.mark.slow
def test_each_run_and_why(
    tmp_path: Path, slurm: FakeSlurm, small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["-m", *small, "prompt=rank", "seed=0,1,2,3", "lr=1e-3,0.001"]
    planned = plan(words)
    assert len(planned) == 4
    assert "4 runs (8 jobs, of which 4 describe a run of another): 4 new" in capsys.readouterr().out
    assert not (tmp_path / "runs").exists()
    told = [
        {"status": "finished", "attempt": 1, "seconds": 36, "epochs": 2},
        {"status": "failed", "error": "ValueError: no\nmore", "epoch": 1, "epochs": 2},
        {"status": "running", "epoch": 1, "epochs": 2},
    ]
    for one, status in zip(planned, told, strict=False):
        assert one.job is not None
        directory = one.job.run.directory
        directory.mkdir(parents=True)
        (directory / "status.json").write_text(json.dumps(status))
        (directory / "identity.json").write_text(json.dumps(one.job.identity))
    plan(words)
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert [line.split("  ")[0] for line in lines[1:5]] == [f"seed={seed}" for seed in range(4)]
    assert "is done" in lines[1]
    assert "would be tried again  failed after epoch 1 of 2: ValueError: no" in lines[2]
    assert "would go on" in lines[3]
    assert "interrupted after epoch 1 of 2: killed" in lines[3]
    assert "would start" in lines[4]
    # The three that are left are like the one that took 36 s.
    assert "36 s a run" in out
    assert "3 as measured here: 0.03 h" in out


@pytest.mark.slow
def test_data_that_are_not_here_are_named_job_by_job(small: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    planned = plan(["-m", "experiment=hci,adience", "dataset.fold=0,1", "backbone=tiny", *small[-2:]])
    assert [one.job for one in planned] == [None] * 4
    out = capsys.readouterr().out
    assert out.count("cannot start here  no data of hci") == 2
    assert out.count("cannot start here  no data of adience_lists") == 2
    assert "not here  data: dataset.root=" in out
    # 4 methods over ten splits; each table's runs once.
    assert re.search(r"^experiment=hci +40 ", out, re.MULTILINE), out
    assert re.search(r"^all, each run once +60 ", out, re.MULTILINE), out
    with pytest.raises(ConfigError, match="epochs=-1"):
        plan(["experiment=hci", "epochs=-1"])


@pytest.mark.slow
def test_the_published_tables_of_several_experiments_are_added_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    names = ("experiment=hci", "experiment=morph")
    words = [f"paths.{key}={tmp_path}" for key in ("runs", "data", "cache")]
    plan(["experiment=hci,morph", *words])
    _, table = capsys.readouterr().out.split("Cost of the published tables")
    rows = {line.split()[0]: line.split()[1:] for line in table.splitlines() if line.startswith(names)}
    times = {"sweep=hci_splits": 10, "sweep=seeds": 5}  # as its files of axes say
    commands = {score.command for score in read_published()}
    expected = {
        name: sum(
            math.prod(times.get(word, 1) for word in command.split()) for command in commands if name in command.split()
        )
        for name in names
    }
    assert {name: int(row[0]) for name, row in rows.items()} == expected
    together = next(line for line in table.splitlines() if line.startswith("all, each run once"))
    runs, gpu, cpu = (float(word.replace(",", "")) for word in together.split()[4:7])
    assert runs == sum(expected.values())
    for hours, column in ((gpu, 1), (cpu, 2)):
        assert hours == pytest.approx(sum(float(row[column].replace(",", "")) for row in rows.values()), rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["cpu", "gpu"])
def test_an_estimate_adds_up(where: str, tmp_path: Path) -> None:
    def seconds(*words: str) -> float:
        typed = read_sweep(["experiment=hci", "epochs=3", "batch_size=32", *words], "x")
        cost = cost_of(plain_config(typed.compose(typed.product[0])), None, FinishedRuns(tmp_path))
        found = cost.cpu_s if where == "cpu" else cost.gpu_s
        assert found is not None
        return found

    rates, images = cost_rates()[where], cost_rates()["datasets"]["hci"]
    tower = rates["towers"]["vgg16"]
    train, test = (tower["train"], tower["eval"]) if where == "cpu" else (3 * tower / 30e3, tower / 30e3)
    text = rates["text"]["base"] + 5 * rates["text"]["rank"] if where == "cpu" else 2 * rates["text"] * 27 / 30e3
    steps = 3 * 33  # 1,050 images in batches of 32
    expected = rates["start"] + 3 * (images["train"] * train + images["select"] * test) + images["test"] * test
    assert seconds() == pytest.approx(expected + steps * (text + rates["step"]))
    assert seconds("prompt=linear") == pytest.approx(expected + steps * rates["step"])
    frozen = rates["start"] + sum(images.values()) * test + steps * (text + rates["step"])
    assert seconds("trainable.image=null", "augment=false") == pytest.approx(frozen)
    zero = rates["start"] + sum(images.values()) * test
    assert seconds("prompt=fixed", "trainable.image=null", "augment=false") == pytest.approx(zero)


def test_hours() -> None:
    assert total_hours([3600.0, 1800.0]) == 1.5
    assert total_hours([1.0, None]) is None
