"""Run benchmarks and write what they find into a page and a JSON file beside it.

`python -m ordinalclip.bench text --quick`
"""

import argparse
from importlib import import_module
from pathlib import Path

# Each is a module here with a function `measure_<name>`.
MEASURES = (
    *("text", "text_gpu", "epoch", "finetune", "tower", "evaluation"),
    *("images", "startup", "sweep", "scale", "tracking"),
)


def main() -> None:
    """Run the benchmarks named on the command line; those that are not run keep their place on the page."""
    parser = argparse.ArgumentParser(prog="python -m ordinalclip.bench", description=__doc__)
    parser.add_argument("benchmarks", nargs="*", metavar="BENCHMARK", help=f"{', '.join(MEASURES)}; default: all")
    parser.add_argument("--quick", action="store_true", help="a small model, few ranks, one round: does it run?")
    parser.add_argument("--threads", type=int, help="of torch; the default is torch's own")
    parser.add_argument("--output", type=Path, default=Path("docs"), help="folder of benchmarks.md and benchmarks.json")
    given = parser.parse_args()
    for name in given.benchmarks:
        if name not in MEASURES:
            parser.error(f"{name}: there is no such benchmark; there are {', '.join(MEASURES)}")

    # After the arguments are checked: these take seconds.
    import torch

    from ordinalclip.bench.results import update_page

    if given.threads is not None:
        torch.set_num_threads(given.threads)
    for name in given.benchmarks or MEASURES:
        measure = getattr(import_module(f"ordinalclip.bench.{name}"), f"measure_{name}")
        # Whatever is there is written at once: all of it takes half an hour.
        for section in measure(quick=given.quick):
            update_page(given.output, name, section)
    print(f"wrote {given.output / 'benchmarks.md'}")


if __name__ == "__main__":
    main()
