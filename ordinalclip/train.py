"""`python -m ordinalclip.train`: one run, or with `-m` a sweep of them.

Only Hydra is imported here: help, typing errors and finished runs answer before torch would have loaded.
"""

import logging
import os
import sys
from collections.abc import Sequence

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from ordinalclip.cli.command import log_to_terminal, report_error
from ordinalclip.cli.help import Arguments, print_help, read_arguments
from ordinalclip.config.compose import conf_dir, plain_config
from ordinalclip.errors import Busy, ConfigError
from ordinalclip.execution.job import run_job
from ordinalclip.preparation.prepare import prepare
from ordinalclip.report.tables import print_store
from ordinalclip.system import VERSION
from ordinalclip.system.interruption import Interrupt

log = logging.getLogger("ordinalclip")


def task(cfg: DictConfig, typed: Arguments) -> None:
    """Trains, tests and records what one composed configuration describes."""
    hydra_cfg = HydraConfig.get()
    overrides = tuple(hydra_cfg.overrides.task)
    in_sweep = hydra_cfg.mode == RunMode.MULTIRUN
    if not in_sweep:
        _check_launcher(typed.overrides)
    job = prepare(plain_config(cfg), overrides)
    if in_sweep:
        log.info("run %d: %s", hydra_cfg.job.num + 1, " ".join(typed.varied(overrides)) or job.run.directory.name)
    try:
        run_job(job, in_sweep=in_sweep)
    except Busy as busy:
        raise Busy(f"{job.run.directory.name}: {busy}; nothing was done here") from None
    if not in_sweep:
        print_store(job.cfg)


def _check_launcher(overrides: Sequence[str]) -> None:
    """Refuses a launcher without `-m`: Hydra would ignore it and train in this process, possibly on a login node."""
    named = [word.partition("=")[2] for word in overrides if word.startswith("hydra/launcher=")]
    if named and named[-1] != "basic":
        remedy = "type -m, too, also for one run; python -m launch.submit … queues it and leaves"
        raise ConfigError("hydra/launcher", named[-1], "starts the runs of -m only", remedy=remedy)


def main() -> None:
    """Entry point. Exits with 0 if every run is finished, 2 on a mistake of the user, 1 on other errors."""
    words = sys.argv[1:]
    try:
        if "--version" in words:
            print(f"ordinalclip {VERSION}")
            return
        typed = read_arguments(words, "python -m ordinalclip.train")
        if typed.help:
            print_help([conf_dir(), *typed.config_dirs])
        else:
            sys.argv[1:] = typed.for_hydra
            _run(typed)
        sys.stdout.flush()
    except BrokenPipeError:  # `… | head`; Python would complain once more when it closes stdout
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(typed: Arguments) -> None:
    log_to_terminal()
    wants_traceback = os.environ.setdefault("HYDRA_FULL_ERROR", "0") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that Hydra raises errors; they are printed here

    if typed.note:
        log.info("%s", typed.note)
    interrupt = Interrupt()
    interrupt.listen()

    def composed(cfg: DictConfig) -> None:
        interrupt.check()
        try:
            task(cfg, typed)
        except Exception as error:
            if wants_traceback or HydraConfig.get().mode == RunMode.MULTIRUN:
                raise
            sys.exit(
                report_error(error, typed.overrides, typed.config_dirs)
            )  # Hydra would let it through, but add a line of its own

    try:
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="train")(composed)()
    except KeyboardInterrupt:
        print("interrupted; the same command, typed again, goes on from here", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        raise
    except Exception as error:
        if wants_traceback:
            raise
        sys.exit(report_error(error, typed.overrides, typed.config_dirs))


if __name__ == "__main__":
    main()
