"""Run benchmarks and write their results to benchmarks.md and benchmarks.json.

`python -m ordinalclip.bench text --quick`
"""

import argparse
from importlib import import_module
from pathlib import Path

# Each is a module of this package with a function `measure_<name>`.
MEASURES = (
    *("text", "text_gpu", "epoch", "finetune", "tower", "evaluation"),
    *("images", "startup", "sweep", "scale", "tracking"),
)


def main() -> None:
    """Runs the benchmarks named on the command line; the results of the others stay on the page."""
    parser = argparse.ArgumentParser(prog="python -m ordinalclip.bench", description=__doc__)
    parser.add_argument("benchmarks", nargs="*", metavar="BENCHMARK", help=f"{', '.join(MEASURES)}; default: all")
    parser.add_argument("--quick", action="store_true", help="smoke test: a small model, few ranks, one round")
    parser.add_argument("--threads", type=int, help="threads of torch; default: torch's default")
    parser.add_argument("--output", type=Path, default=Path("docs"), help="folder of benchmarks.md and benchmarks.json")
    given = parser.parse_args()
    for name in given.benchmarks:
        if name not in MEASURES:
            parser.error(f"{name}: there is no such benchmark; there are {', '.join(MEASURES)}")

    # Imported after the arguments are checked, because it takes seconds.
    import torch

    from ordinalclip.bench.results import update_page

    if given.threads is not None:
        torch.set_num_threads(given.threads)
    for name in given.benchmarks or MEASURES:
        measure = getattr(import_module(f"ordinalclip.bench.{name}"), f"measure_{name}")
        # Each section is written as soon as it is measured: all benchmarks take half an hour.
        for section in measure(quick=given.quick):
            update_page(given.output, name, section)
    print(f"wrote {given.output / 'benchmarks.md'}")


if __name__ == "__main__":
    main()
