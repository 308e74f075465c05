"""`python -m ordinalclip.register`: registers a finished run as an MLflow model, which MLflow can serve."""

from collections.abc import Sequence
from pathlib import Path

from ordinalclip.cli.command import read_words, run_command
from ordinalclip.config.compose import compose_config
from ordinalclip.errors import ConfigError
from ordinalclip.inference.naming import RUN_SYNTAX, resolve_run
from ordinalclip.preparation.reopen import open_record, recorded_cfg

_KEYS = ("run", "name", "paths.runs", "tracking", "tracking.uri")
_USAGE = """\
OrdinalCLIP registers a finished run as an MLflow model: images in, ranks out; no pickle, no text tower.

  python -m ordinalclip.register run=RUN [name=NAME] [paths.runs=runs] [tracking=local] [tracking.uri=…]

  run         a run's directory, its name or id, mlflow:ID, or best:sweep=NAME,metric=val/mae
  name        name of the model; by default ordinalclip-<data>-<backbone>-<prompt>

register=true on training's command line does the same when a run is finished. Serve the model (MLflow starts uvicorn):
from PATH, so first: source .venv/bin/activate) with
  MLFLOW_TRACKING_URI=sqlite:///runs/mlflow.db mlflow models serve -m models:/NAME/1 --env-manager local -p 5001
and send it images as base64 (or paths within the folders that ORDINALCLIP_IMAGE_ROOTS names):
  curl 127.0.0.1:5001/invocations -H 'Content-Type: application/json' \\
    -d '{"dataframe_records": [{"image": "'$(base64 -w0 photo.jpg)'"}]}'"""


def main() -> None:
    """Entry point."""
    run_command(register_run, _USAGE)


def register_run(words: Sequence[str]) -> str:
    """Registers a run and prints the model's address.

    Args:
        words: words of the form key=value; `run=` is required.

    Returns:
        The model's address.

    Raises:
        ConfigError: a word cannot be used, or tracking=offline, which has no store.
    """
    typed = read_words(words, _KEYS, {"run": RUN_SYNTAX})
    store = [f"tracking={typed['tracking']}"] if "tracking" in typed else []
    here = compose_config(store, {key: word for key, word in typed.items() if key in ("paths.runs", "tracking.uri")})
    uri = here["tracking"].get("uri")
    if uri is None:
        raise ConfigError("tracking", "offline", "has no store to register in", allowed="local, server")
    run = resolve_run(typed["run"], Path(here["paths"]["runs"]), here["tracking"])
    record = open_record(run, recorded_cfg(run) | {"paths": here["paths"]})

    from ordinalclip.serving.register import find_shown, register

    address = register(record, uri, find_shown(run, uri), typed.get("name"))
    print(address)
    return address


if __name__ == "__main__":
    main()
