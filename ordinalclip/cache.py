"""Lists the cache of decoded images and features, or frees space.

`python -m ordinalclip.cache` lists the stores; `--clean` removes them, least recently used first; with `--to-gb N` only
until N GB are left. Weights are never removed. Running experiments continue, possibly more slowly.
"""

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path

from ordinalclip.system.caches import GB, Store, list_stores, remove_store


def main(arguments: Sequence[str] | None = None) -> None:
    """Lists the stores of a cache, or removes some."""
    text, _, more = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(prog="python -m ordinalclip.cache", description=text, epilog=more)
    parser.add_argument("--cache", type=Path, help="its folder; the default is paths.cache=default's")
    parser.add_argument("--clean", action="store_true", help="remove images and features, the oldest first")
    parser.add_argument("--to-gb", type=float, metavar="N", help="with --clean: until no more than N GB are left")
    given = parser.parse_args(arguments)
    if given.to_gb is not None and (not given.clean or given.to_gb < 0):
        parser.error("--to-gb takes a number of GB from 0 on, together with --clean")
    cache_dir = given.cache if given.cache is not None else Path(os.environ.get("ORDINALCLIP_CACHE", ".cache"))
    stores = list_stores(cache_dir)
    if not stores:
        print(f"{cache_dir} holds neither images nor features")
        return
    going = to_remove(stores, given.to_gb or 0.0) if given.clean else []
    for store in stores:
        print(f"{_line(store)}{'  removed' if store in going else ''}")
        if store in going:
            remove_store(store)
    left = sum(store.num_bytes for store in stores if store not in going)
    freed = sum(store.num_bytes for store in going)
    print(f"{_gb(left)} GB in {cache_dir}" + (f", {_gb(freed)} GB removed" if given.clean else ""))


def to_remove(stores: Sequence[Store], to_gb: float) -> list[Store]:
    """Returns the stores to remove, least recently used first, so that no more than `to_gb` are left.

    Args:
        stores: least recently used first.
        to_gb: in 10⁹ bytes.
    """
    left = sum(store.num_bytes for store in stores)
    going = []
    for store in stores:
        if left <= to_gb * GB:
            break
        going.append(store)
        left -= store.num_bytes
    return going


def _line(store: Store) -> str:
    used = time.strftime("%Y-%m-%d %H:%M", time.localtime(store.used))
    what = f"{store.about.get('name', store.path.parent.name)}, {store.about.get('form', store.path.name)}"
    number = store.about.get("number")
    counted = "" if number is None else f", {number} images"
    return f"{store.kind:<9}{_gb(store.num_bytes):>8} GB  used {used}  {what}{counted}"


def _gb(num_bytes: int) -> str:
    return f"{num_bytes / GB:.3f}"


if __name__ == "__main__":
    main()
