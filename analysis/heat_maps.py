"""Heat maps of the ranks' similarity in MLflow: drawn and put there when somebody looks, since sweeps draw nothing."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ordinalclip.gallery import draw_figures
from ordinalclip.progress import progress
from ordinalclip.runs import Run
from ordinalclip.tracking import CREATED_TAG
from ordinalclip.tracking.copying import HEAT_MAP, IMAGES_TAG, copy_run
from ordinalclip.tracking.store import Store

log = logging.getLogger("ordinalclip")

_PATIENCE_S = 10.0
MOST = 40  # runs whose maps are drawn at once, half a second each; more cannot be looked at side by side


def show_heat_maps(store: Store, shown: Sequence[Any]) -> int:
    """Draws what is missing from runs' records on this machine, and copies it into the store.

    Args:
        store: that shows the runs.
        shown: finished or unfinished runs as the store has them; those whose record lies elsewhere are passed over.

    Returns:
        How many runs were given a map.
    """
    missing = [(run, one) for one in shown if (run := _recorded(one)) is not None]
    done = 0
    bar = progress("drawing heat maps", len(missing[:MOST]), " runs")
    for run, one in missing[:MOST]:
        names = (run.read_json("ranks.json") or {}).get("names")
        if names and draw_figures(run, names, only=(HEAT_MAP,)):
            try:
                copy_run(store, run, one, patience_s=_PATIENCE_S)
            except Exception as error:  # the pages show the rest; a sweep at work may be writing all the time
                log.warning("%s: no heat map in the store: %s", run.directory.name, str(error).partition("\n")[0])
                break
            done += 1
        bar.update(1)
    bar.close()
    return done


def _recorded(shown: Any) -> Run | None:
    """The record of a finished run that has rank features and no map in the store yet."""
    tags = shown.data.tags
    run = Run(Path(tags.get("directory", "")))
    here = bool(tags.get("directory")) and run.status().get("created") == tags.get(CREATED_TAG)
    if not here or IMAGES_TAG in tags or run.state() != "finished":
        return None
    return run if (run.directory / "rank_features.safetensors").is_file() else None
