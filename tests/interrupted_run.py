"""Runs one small job in a process of its own, and kills that process at a given step. Used by test_resume.py.

python -m tests.interrupted_run CFG.json [EPOCH BATCH]
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ordinalclip.execution import fit
from ordinalclip.execution.job import run_job
from ordinalclip.preparation.prepare import Job, prepare
from ordinalclip.training import module


def with_dropout(build_job_model: Any) -> Any:
    """The same model with dropout behind the projection, so that a resume has random numbers to get wrong."""

    def build(job: Job) -> Any:
        model = build_job_model(job)
        width = model.backbone.embed_dim
        torch.manual_seed(job.cfg["seed"])
        model.backbone.projection = nn.Sequential(nn.Linear(width, width), nn.Dropout(0.3))
        return model

    return build


def killed_at(training_step: Any, epoch: int, batch: int) -> Any:
    """A training step that ends the process without a word."""

    def step(self: Any, item: Any, batch_idx: int) -> Any:
        if (self.current_epoch, batch_idx) == (epoch, batch):
            os.kill(os.getpid(), signal.SIGKILL)
        return training_step(self, item, batch_idx)

    return step


if __name__ == "__main__":
    torch.set_num_threads(1)
    fit.build_job_model = with_dropout(fit.build_job_model)
    if len(sys.argv) > 2:
        step = killed_at(module.OrdinalModule.training_step, int(sys.argv[2]), int(sys.argv[3]))
        module.OrdinalModule.training_step = step  # type: ignore[method-assign]
    run_job(prepare(json.loads(Path(sys.argv[1]).read_text())), in_sweep=True)
