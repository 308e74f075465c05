"""Run directories as training leaves them, without training; also a program that makes and mirrors one."""

import os
import sys
import time
from pathlib import Path

from ordinalclip.runs.run import Run
from ordinalclip.tracking import MLflowMirror

CONFIG = """\
dataset: {name: elpv, root: null}
protocol: {split: {fold: 2}, select_on: val}
subset: {shots: 4, hide_every: null}
paths: {runs: runs}
"""


def begin_run(root: Path, number: int = 0, *, prompt: str = "rank", sweep: str | None = "mine") -> Run:
    """A claimed run before its first epoch."""
    run = Run(root / f"elpv-mini-{prompt}-s{number}-{number:010d}")
    run.claim()
    run.set_status("running", run_id=run.run_id, epochs=3)
    run.write("config.yaml", CONFIG)
    run.write_json("provenance.json", {"host": "somewhere", "code": {"git": "abc", "dirty": False}})
    run.write_json("labels.json", {"prompt": prompt, "sweep": sweep, "tags": ["first"], "selected_on": "test"})
    run.write_json("identity.json", {"seed": number, "prompt": {"num_base_ranks": 3}})
    return run


def log_epoch(run: Run, epoch: int, *, names: int = 2) -> None:
    """Values that a test can compute again."""
    values = {"val/mae": 1.0 / (epoch + 1), "train/loss": 2.0 + epoch}
    values |= {f"val/more{index}": index + epoch / 7 for index in range(names - 2)}
    run.log_metrics(values, epoch=epoch, step=10 * (epoch + 1))


def end_run(run: Run, *, epochs: int = 3) -> None:
    """The rest of a run, to its end."""
    for epoch in range(epochs):
        log_epoch(run, epoch)
    run.log_metrics({"test/mae": 0.25, "ordinality": 0.9}, epoch=epochs, step=0)
    run.write_json("test_stats.json", {"test/mae": 0.25})
    run.set_status("finished", seconds=1.0)


def local_mirror(root: Path, *, every_s: float = 0, patience_s: float = 60.0) -> MLflowMirror:
    """The mirror of tracking=local, that copies at every chance."""
    uri = f"sqlite:///{root / 'mlflow.db'}"
    return MLflowMirror(uri=uri, experiment="ordinalclip", every_s=every_s, patience_s=patience_s)


def work(root: Path, number: int) -> None:
    """One process of many: makes a run, which it mirrors as training does."""
    mirror = local_mirror(root, every_s=0.2)
    mirror.prepare()
    run = begin_run(root, number)
    mirror.sync(run, final=False)
    for epoch in range(20):
        log_epoch(run, epoch, names=12)
        mirror.sync(run, final=False)
        time.sleep(0.05)
    run.log_metrics({"test/mae": number / 7}, epoch=20, step=0)
    run.set_status("finished")
    mirror.sync(run, final=True)
    run.release("finished")


def main(root: str, number: str) -> None:
    """So many processes at once; each has MLflow from here, as importing it takes longer than all the rest."""
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401

    children = []
    for one in range(int(number)):
        child = os.fork()
        if child == 0:
            work(Path(root), one)
            return
        children.append(child)
    sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))


if __name__ == "__main__":
    main(*sys.argv[1:])
