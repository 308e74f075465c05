"""`python -m ordinalclip.import_reference`: converts a checkpoint of the paper's code to a finished run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ordinalclip.backbones.weights.find import find_weights
from ordinalclip.cli.command import read_flag, read_words, run_command
from ordinalclip.config.compose import compose_config, rename_runs
from ordinalclip.config.identity import selection_labels
from ordinalclip.datasets.load import load_manifest
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.errors import ConfigError, DataError
from ordinalclip.preparation.checks import check
from ordinalclip.preparation.reopen import Record
from ordinalclip.reference.config import (
    ReferenceSettings,
    backbone_config,
    prompt_config,
    ranks_of,
    read_rank_names,
    read_settings,
    trainable_config,
)
from ordinalclip.system.checksums import cached_sha256

_OWN = ("ckpt", "config", "clip", "rank_names", "trust")
_PASSED_ON = (
    *("dataset", "protocol", "subset", "paths", "cache", "num_workers", "features", "trainer", "tracking"),
    *("sweep_name", "tags"),
)
_USAGE = """\
OrdinalCLIP makes a run of its own of a checkpoint that the paper's code wrote.

  python -m ordinalclip.import_reference ckpt=FILE config=FILE clip=FILE [rank_names=FILE] [dataset=…] [KEY=VALUE …]

  ckpt        the checkpoint (Lightning)
  config      the config.yaml that its run wrote beside its checkpoints
  clip        the CLIP weights it was trained from: OpenAI's archive, or openai where they are in the cache; not needed
              for the CNN baseline
  rank_names  a name a line; needed where the plain learner started from names
  trust       true reads whatever objects are in the checkpoint, which may run code; false by default
  dataset     data to test it on at once, with its keys and protocol; by default it is tested on none
  other keys  paths.KEY, trainer=cpu, num_workers, tracking, sweep_name, tags

Example
  python -m ordinalclip.import_reference ckpt=ckpts/last.ckpt config=config.yaml clip=.cache/clip/RN50.pt"""


def main() -> None:
    """Entry point."""
    run_command(import_reference, _USAGE)


def import_reference(words: Sequence[str]) -> Record:
    """Imports a checkpoint and prints the directory of the new run.

    Args:
        words: words of the form key=value.

    Returns:
        The record of the run.

    Raises:
        ConfigError: for files and settings that cannot be used or expressed here.
        DataError: for a data set with other ranks.
    """
    words = rename_runs(words)
    group_of = {word: word.partition("=")[0].lstrip("+~").partition(".")[0] for word in words}
    passed_on = [word for word in words if group_of[word] in _PASSED_ON]
    typed = read_words([word for word in words if word not in passed_on], (*_OWN, *_PASSED_ON), {})
    trust = read_flag(typed, "trust", default=False)
    ckpt, config = (_file(typed, key) for key in ("ckpt", "config"))
    settings = read_settings(config)
    here = compose_config(passed_on)
    cache_dir = Path(here["paths"]["cache"])
    manifest = _manifest(here, settings) if any(word.startswith("dataset=") for word in words) else None
    names = read_rank_names(typed.get("rank_names"), settings, config)

    from ordinalclip.reference.checkpoint import Import, read_checkpoint, write_run

    state = read_checkpoint(ckpt, trust=trust)
    cfg = here | {
        "seed": settings.seed,
        "epochs": settings.epochs,
        "augment": False,
        "backbone": backbone_config(settings, _clip(typed, settings)),
        "prompt": prompt_config(settings, state, names, ckpt),
        "trainable": trainable_config(settings),
    }
    if settings.chosen_on_test:  # every table with the run has to show it
        cfg["protocol"] = here["protocol"] | {"select_on": "test", "calibration": 0}
    if manifest is None:
        unknown = {"_target_": "ordinalclip.datasets.layouts.unknown.load_unknown", "name": "imported", "context": None}
        cfg["dataset"] = unknown
    check(cfg, known={"num_ranks": settings.num_ranks})
    files = {
        key: {"path": str(path), "sha256": cached_sha256(path, cache_dir)}
        for key, path in (("ckpt", ckpt), ("config", config))
    }
    weights = find_weights(cfg["backbone"], cache_dir)
    ranks = ranks_of(names, settings) if manifest is None else manifest.ranks()
    record = write_run(Import(cfg, settings, state, weights, ranks, manifest, files, list(words)))
    _show(record, manifest)
    return record


def _file(typed: dict[str, str], key: str) -> Path:
    if not typed.get(key):
        raise ConfigError(key, "", "which file?", allowed="see --help")
    path = Path(typed[key]).expanduser()
    if not path.is_file():
        raise ConfigError(key, typed[key], f"there is no such file (looked at {path.absolute()})")
    return path


def _clip(typed: dict[str, str], settings: ReferenceSettings) -> str:
    if "clip" in typed:
        return typed["clip"]
    if settings.kind == "Baseline":
        return "random"
    problem = f"the checkpoint has no embeddings of words; those of {settings.text} are needed"
    raise ConfigError("clip", "", problem, allowed="OpenAI's archive of it, or openai where it is in the cache")


def _manifest(here: dict[str, Any], settings: ReferenceSettings) -> Manifest:
    paths = here["paths"]
    check(here)
    manifest = load_manifest(
        here["dataset"],
        here["protocol"],
        here["subset"],
        data_dir=Path(paths["data"]),
        cache_dir=Path(paths["cache"]),
    )
    if manifest.num_ranks != settings.num_ranks:
        raise DataError(f"{manifest.name} has {manifest.num_ranks} ranks, the checkpoint {settings.num_ranks}")
    return manifest


def _show(record: Record, manifest: Manifest | None) -> None:
    from ordinalclip.execution.job import mirror_of
    from ordinalclip.report.gallery import draw_figures, has_figures
    from ordinalclip.report.tables import print_scores

    run = record.run
    if not has_figures(run):
        draw_figures(run, record.rank_names)
    mirror_of(record.cfg).sync(run, final=True)
    for defect in run.read_json("provenance.json")["imported"]["defects"]:
        print(f"note    {defect}")
    if manifest is not None:
        scores, ordinality = run.read_json("test_stats.json") or {}, run.read_json("ordinality.json") or {}
        print_scores(
            manifest.name, "test", scores, ordinality, record.rank_names, on_test=bool(selection_labels(record.cfg))
        )
    print(f"run     {run.directory}")


if __name__ == "__main__":
    main()
