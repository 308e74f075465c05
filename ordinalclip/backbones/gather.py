"""Published weights brought into the platform's cache, so that copying one folder takes them to any machine."""

import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ordinalclip.backbones.hub_hash import note_of
from ordinalclip.backbones.published import Published
from ordinalclip.backbones.weight_owner import owners_of
from ordinalclip.backbones.weights import WeightFile
from ordinalclip.datasets.files import write_atomically


def gather(
    backbone_cfg: Mapping[str, Any], found: Mapping[str, WeightFile], cache_dir: Path
) -> dict[str, tuple[Path, Path]]:
    """Copies published weights that lie in the cache of another library into the platform's, their SHA-256 beside them.

    Args:
        backbone_cfg: the backbone's yaml.
        found: from `find_weights`.
        cache_dir: the platform's cache.

    Returns:
        Part → its file and the folder to copy, of the parts that have published weights.
    """
    gathered = {}
    for part, owner in owners_of(backbone_cfg).items():
        file = found.get(part, found.get("all"))
        where = None if file is None else owner.published().get(file.source)
        if file is None or file.path is None or where is None:
            continue
        target = _place(where, file.path, cache_dir)
        if not target.is_file():
            # Whoever copies it further can tell whether all of it came; find_weights does.
            note = f"{file.sha256}  {target.name}\n"
            write_atomically(note_of(target), partial(_write, note))
            write_atomically(target, partial(shutil.copyfile, file.path))
        gathered[part] = (target, where.folder(cache_dir))
    return gathered


def _write(text: str, path: Path) -> None:
    path.write_text(text, encoding="utf-8")


def _place(where: Published, path: Path, cache_dir: Path) -> Path:
    """Where a file belongs; one that lies in the platform's folder already stays."""
    folder = where.folder(cache_dir)
    if path.absolute().is_relative_to(folder.absolute()):
        return path
    return folder / path.name if path.name == where.url_file else folder / where.repository_name / path.name
