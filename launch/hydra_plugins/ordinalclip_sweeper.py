"""Hydra's plugin for sweeps. Imported at every start, so `launch.sweep` is imported when it is used."""

from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser


class OrdinalSweeper(BasicSweeper):
    """The Cartesian product of comma-separated overrides, without the finished runs; see `launch.sweep`.

    Args:
        params: axes of a `sweep=` file, key → values as typed; typed axes take precedence.
    """

    def __init__(self, params: dict[str, Any] | None = None) -> None:
        super().__init__(max_batch_size=None, params=params)

    def sweep(self, arguments: list[str]) -> Any:
        """Plans all jobs, launches those with missing runs, prints one table."""
        from launch.composition import Composer
        from launch.sweep import described, log, sweep, typed_axes

        assert self.hydra_context is not None
        assert self.launcher is not None
        assert self.config is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        # A typed axis replaces one of the same key, in its place.
        given = parser.parse_overrides([*typed_axes(self.params), *arguments])
        product = self.split_arguments(given, None)[0]
        if self.params:
            log.info("sweep %s: %s", self.config.sweep_name, described(product))
        sources = self.config.hydra.runtime.config_sources
        own = [Path(source.path) for source in sources if source.provider == "command-line"]
        composer, hydra_own = Composer(own), list(self.config.hydra.overrides.hydra)
        return sweep(lambda words: composer([*hydra_own, *words]), self.launcher, product, arguments, own)
