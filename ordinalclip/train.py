"""`python -m ordinalclip.train`: one run, or with `-m` a sweep of them.

Only Hydra is imported here: help, typing errors and finished runs answer before torch would have loaded.
"""

import logging
import os
import sys
import warnings

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from ordinalclip.conf_dir import conf_dir
from ordinalclip.config import plain
from ordinalclip.errors import ConfigError, DataError
from ordinalclip.explain import explain
from ordinalclip.help import print_help
from ordinalclip.job import run_job
from ordinalclip.lease import Busy
from ordinalclip.prepare import prepare
from ordinalclip.report import print_store

log = logging.getLogger("ordinalclip")


def task(cfg: DictConfig) -> None:
    """Trains, tests and records what one composed configuration describes."""
    hydra_cfg = HydraConfig.get()
    in_sweep = hydra_cfg.mode == RunMode.MULTIRUN
    job = prepare(plain(cfg), tuple(hydra_cfg.overrides.task))
    run_job(job, in_sweep=in_sweep)
    if not in_sweep:
        print_store(job.cfg)


def main() -> None:
    """Entry point; ends with 0 when every run is finished, 2 on a mistake of the user's, 1 on anything else."""
    if {"--help", "-h"} & set(sys.argv[1:]):
        print_help([conf_dir()])
        return
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    warnings.filterwarnings("ignore", category=DeprecationWarning, module="hydra.*")
    wants_traceback = os.environ.setdefault("HYDRA_FULL_ERROR", "0") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come to us, and we print them
    try:
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="train")(task)()
    except (KeyboardInterrupt, SystemExit) as stop:
        code = 130 if isinstance(stop, KeyboardInterrupt) else stop.code
        sys.exit(code)
    except Exception as error:
        if wants_traceback:
            raise
        sys.exit(_say(error))


def _say(error: Exception) -> int:
    """Prints what went wrong in the words of who can mend it; returns the exit status."""
    mistake = explain(error, sys.argv[1:])
    if mistake is not None:
        print(f"error: {mistake}", file=sys.stderr)
        return 2
    if isinstance(error, ConfigError | DataError | Busy | FloatingPointError):
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, ValueError) else 1
    logging.getLogger().error("error: %s", error, exc_info=error)
    return 1


if __name__ == "__main__":
    main()
