"""Whether lists are the published ones, to the byte: told, not refused, since a copy may have other line ends."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path


def unlike_published(files: Sequence[Path], md5: Mapping[str, str]) -> list[str]:
    """A note where files differ from what was published.

    Args:
        files: that there are.
        md5: file name → the published MD5, for those that have one.
    """
    known = [file for file in files if file.name in md5]
    unlike = [
        file.name
        for file in known
        if hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest() != md5[file.name]
    ]
    if not unlike:
        return []
    return [f"{len(unlike)} of {len(known)} lists are not what was published, by their MD5: {', '.join(unlike)}"]
