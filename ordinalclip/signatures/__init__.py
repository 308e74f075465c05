"""Signatures as the schema of whatever has a `_target_`: `Between` writes them, `check_target` reads them."""

from ordinalclip.signatures.check import check_target, did_you_mean
from ordinalclip.signatures.kinds import Between
from ordinalclip.signatures.source import is_own

__all__ = ["Between", "check_target", "did_you_mean", "is_own"]
