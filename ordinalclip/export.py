"""`python -m ordinalclip.export`: exports a trained run to a folder that needs no text tower, as ONNX not even torch.

All words are checked before torch is imported.
"""

from collections.abc import Sequence
from pathlib import Path

from ordinalclip.cli.command import read_flag, read_words, run_command
from ordinalclip.config.compose import compose_defaults
from ordinalclip.errors import ConfigError
from ordinalclip.inference.export_folder import MODELS, PRECISIONS, is_nothing_but_export
from ordinalclip.inference.naming import RUN_SYNTAX, resolve_run
from ordinalclip.preparation.reopen import open_record, recorded_cfg

_KEYS = ("run", "format", "precision", "out", "num_ranks", "values", "paths.runs", "overwrite")
_USAGE = """\
OrdinalCLIP exports a trained run: image tower, rank features, preprocessing, rank names and a model card, in a folder.

  python -m ordinalclip.export run=RUN [format=safetensors] [precision=fp32] [out=FOLDER] [KEY=VALUE …]

  run         a run's directory, its name or id, mlflow:ID, or best:sweep=NAME,metric=val/mae
  format      safetensors: tensors, for OrdinalCLIP; cannot run code
              onnx: a graph, for onnxruntime and others, with an example that needs no torch
              torch_export: an archive for torch.export.load, FOR TRUSTED USE ONLY: it is unpickled when it is loaded
  precision   fp32, fp16, int8 (onnx only)
  out         exports/<run>-<format>-<precision>
  num_ranks   another number of ranks, at equal distances; rank prompts only
  values      or ranks at these values: values=[20,30,40]
  paths.runs  folder of the runs; by default runs
  overwrite=true replaces an export that is there

The export is loaded again and compared with the whole model on images of the run's own data. It is deleted if the
total variation distance between their probabilities exceeds the limit of its precision (fp32 0.001 and fp16 0.05 for
every image, int8 0.1 in the mean over images).

Examples
  python -m ordinalclip.export run=0123456789
  python -m ordinalclip.export run=best:sweep=first,metric=val/mae format=onnx precision=int8"""


def main() -> None:
    """Entry point."""
    run_command(export, _USAGE)


def export(words: Sequence[str]) -> Path:
    """Exports a run, compares the export with the whole model, and prints sizes, latencies and differences.

    Args:
        words: words of the form key=value; `run=` is required.

    Returns:
        The folder.

    Raises:
        ConfigError: a word cannot be used. Raised before torch is imported.
        DataError: the run is damaged, or the export differs too much from the model.
    """
    typed = read_words(words, _KEYS, {"run": RUN_SYNTAX})
    format_, precision = typed.get("format", "safetensors"), typed.get("precision", "fp32")
    if format_ not in MODELS:
        raise ConfigError("format", format_, "there is no such format", allowed=", ".join(MODELS))
    if precision not in PRECISIONS:
        raise ConfigError("precision", precision, "there is no such precision", allowed=", ".join(PRECISIONS))
    if precision == "int8" and format_ != "onnx":
        raise ConfigError("precision", precision, f"is not made for format={format_}", allowed="format=onnx")
    overwrite = read_flag(typed, "overwrite", False)
    _check_installed(format_)
    values = _values(typed)
    here = compose_defaults(typed)
    run = resolve_run(typed["run"], Path(here["paths"]["runs"]), here["tracking"])
    record = open_record(run, recorded_cfg(run) | {"paths": here["paths"]})
    out = Path(typed.get("out", f"exports/{run.directory.name}-{format_}-{precision}")).expanduser()
    if out.exists() and not overwrite:
        raise ConfigError("out", out, "is there already", remedy="overwrite=true, or another name")
    if out.exists() and not is_nothing_but_export(out):
        problem = "is there, and is no exported folder, or holds other files too; it is not replaced"
        raise ConfigError("out", out, problem, remedy="another name")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError("out", out, f"cannot be written to: {error.strerror or error}") from None

    from ordinalclip.exporting.write import write_export

    check = write_export(record, out, format_, precision, values)
    print(f"{out}\n")
    rows = [("", "export", "whole model"), ("size, MB", f"{check.size_mb:.1f}", f"{check.full_mb:.1f}")]
    rows.append(("one image, ms", f"{check.latency_ms:.1f}", f"{check.full_ms:.1f} (text tower run for it, too)"))
    for name, ours, theirs in rows:
        print(f"  {name:<16}{ours:>10}   {theirs}")
    moved = f"{check.largest:.2g} of the probability at most, {check.mean:.2g} in the mean, lies on other ranks;"
    print(f"\n  on {check.num_images} images: {moved}")
    same = f"{check.agreement:.1%} have the same most probable rank"
    print(f"  expectations are off by {check.shift:.2g} ranks in the mean, {same}")
    return out


def _check_installed(format_: str) -> None:
    from importlib.util import find_spec

    if format_ == "onnx":
        missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
        if missing:
            raise ConfigError(
                "format", format_, f"needs {', '.join(missing)}", remedy="pip install 'ordinalclip[export]'"
            )


def _values(typed: dict[str, str]) -> list[float] | int | None:
    """Parses the values of other ranks, or their number; returns None for the run's own ranks."""
    count, listed = typed.get("num_ranks"), typed.get("values")
    if count is not None and listed is not None:
        raise ConfigError("num_ranks", count, "cannot go with values", allowed="one of the two")
    if count is not None:
        if not count.isdecimal() or int(count) < 2:
            raise ConfigError("num_ranks", count, "is no number of ranks", allowed="2 or more")
        return int(count)
    if listed is None:
        return None
    try:
        return [float(word) for word in listed.strip("[]").split(",")]
    except ValueError:
        raise ConfigError("values", listed, "are no numbers", allowed="values=[20,30,40]") from None


if __name__ == "__main__":
    main()
