"""Benchmark of start-up: time to the help text, to an error message, and to the first training step."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from ordinalclip.bench.measure import alternate
from ordinalclip.bench.results import Row, Section

REFUSED = 2  # exit status of configuration errors
FOREIGN = ["loss=ce", "loss._target_=torch.nn.CrossEntropyLoss", "+loss.smoothing=0.1"]
HEAVY = "torch, lightning.pytorch, mlflow, open_clip"
TEXT = """Seconds from the command to its end, each in a process of its own, files in the system's cache. *Naive*
imports what training needs ({heavy}) before it looks at what was typed. The foreign class is torch's cross-entropy,
which has to be imported. The first step's time is that of the first record of a run of one step on cached features,
its validation included; naive is the same run with no features in the cache, that is with the image tower's pass over
1,797 small images before it, timed once and before the others."""


def measure_startup(*, quick: bool) -> Iterator[Section]:
    """Measures starts; yields one section.

    Args:
        quick: Use one round.
    """
    rounds = 1 if quick else 3
    rows: list[Row] = []
    with TemporaryDirectory() as folder:
        work = Path(folder)
        answers = {
            "--help": (["--help"], 0),
            "a refused key of ours": (["prompt.num_base_rank=3"], REFUSED),
            # Arguments of torch's optimizers are checked without importing torch, those of other classes are not.
            "a refused argument of a foreign class": (FOREIGN, REFUSED),
        }
        imports: Callable[[], object] = partial(_run, [sys.executable, "-W", "ignore", "-c", f"import {HEAVY}"], work)
        imports()
        for what, (arguments, status) in answers.items():
            command = [sys.executable, "-m", "ordinalclip.train", *arguments]
            seconds = alternate({"naive": imports, "ours": partial(_run, command, work, status)}, rounds)
            naive = seconds["naive"] + seconds["ours"]
            ours = seconds["ours"]
            rows.append({"what": what, "naive, s": naive, "ours, s": ours, "times faster": naive / ours})
        cold = first_step(work, seed=0)
        warm = sorted(first_step(work, seed=seed) for seed in range(1, 1 + rounds))[rounds // 2]
        rows.append({"what": "first step", "naive, s": cold, "ours, s": warm, "times faster": cold / warm})
    yield Section("Start", TEXT.format(heavy=HEAVY), rows)


def first_step(work: Path, seed: int) -> float:
    """Returns the seconds from the start of the command to the record of its first step.

    Args:
        work: Working directory of the command, which may contain a cache of features.
        seed: Seed of a new run.
    """
    overrides = ["dataset=digits", "epochs=1", "+trainer.limit_batches=1", f"seed={seed}", "tracking=offline"]
    started = time.time()
    _run([sys.executable, "-m", "ordinalclip.train", *overrides], work)
    (record,) = work.glob(f"runs/*-s{seed}-*/metrics.jsonl")
    line = json.loads(record.read_text(encoding="utf-8").splitlines()[0])
    return float(line["time_ms"]) / 1000 - started


def _run(command: Sequence[str], work: Path, status: int = 0) -> None:
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    if done.returncode != status:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-2000:]}")
