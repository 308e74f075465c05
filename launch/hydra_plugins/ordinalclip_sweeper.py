"""Where Hydra looks for sweepers. Imported at every start, so it only points to what does the work."""

from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser


class OrdinalSweeper(BasicSweeper):
    """The cartesian product of the comma-separated overrides, less what is done already; see `launch.sweep`.

    Args:
        params: axes of a `sweep=` file, each key → its values as they would be typed; what is typed goes first.
    """

    def __init__(self, params: dict[str, Any] | None = None) -> None:
        super().__init__(max_batch_size=None, params=params)

    def sweep(self, arguments: list[str]) -> Any:
        """Plans all jobs, launches what is missing, prints one table."""
        from launch.composition import Composer
        from launch.sweep import described, log, sweep, typed_axes

        assert self.hydra_context is not None
        assert self.launcher is not None
        assert self.config is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        # What is typed replaces an axis of the same key, and stands where that stood.
        given = parser.parse_overrides([*typed_axes(self.params), *arguments])
        product = self.split_arguments(given, None)[0]
        if self.params:
            log.info("sweep %s: %s", self.config.sweep_name, described(product))
        sources = self.config.hydra.runtime.config_sources
        own = [Path(source.path) for source in sources if source.provider == "command-line"]
        composer, hydra_own = Composer(own), list(self.config.hydra.overrides.hydra)
        return sweep(lambda words: composer([*hydra_own, *words]), self.launcher, product, arguments, own)
