"""What shows runs in a tracking store, as the rest of the code sees it."""

from typing import Protocol

from ordinalclip.runs import Run


class Mirror(Protocol):
    """Shows a run in a tracking store; neither method raises because of the store, or waits long for it."""

    def prepare(self) -> None:
        """Makes the store, once, before any run that may share it starts."""

    def sync(self, run: Run, *, final: bool) -> None:
        """Has what is new of a run copied, soon; `final`: now, and waits for it within reason."""


class NoMirror:
    """Keeps to the run directories; `python -m analysis.sync` copies them whenever a store is wanted."""

    def prepare(self) -> None:
        """Nothing to make."""

    def sync(self, run: Run, *, final: bool) -> None:
        """Nothing to copy."""
