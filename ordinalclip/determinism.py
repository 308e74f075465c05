"""Operations that torch refuses under `trainer.deterministic=true`, told as a setting."""

import contextlib
import re
from collections.abc import Iterator

from ordinalclip.errors import ConfigError

_REFUSED = re.compile(r"(\S+) does not have a deterministic implementation")


@contextlib.contextmanager
def told_refusals() -> Iterator[None]:
    """Raises what torch refused as a ConfigError that names the operation and the key.

    Raises:
        ConfigError: an operation of a tower that is trained adds in no fixed order on this device.
    """
    try:
        yield
    except RuntimeError as error:
        refused = _REFUSED.search(str(error))
        if refused is None:
            raise
        problem = f"{refused[1]} in a tower that is trained has no deterministic way on this device"
        remedy = "trainer.deterministic=false: runs with equal settings then differ by rounding"
        raise ConfigError("trainer.deterministic", True, problem, remedy=remedy) from error
