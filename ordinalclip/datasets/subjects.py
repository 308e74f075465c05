"""Whose image it is, as its path says."""

import re

import pandas as pd

from ordinalclip.errors import ConfigError


def subjects_of(paths: pd.Series, pattern: str) -> pd.Series:
    """The subject's id in each path.

    Args:
        paths: of the images.
        pattern: regular expression whose first group is the id, `dataset.subject`.

    Raises:
        ConfigError: where it fits no part of a path, or has no group.
    """
    allowed = "a regular expression with one group, or null"
    try:
        subjects = paths.str.extract(pattern, expand=True)[0]
    except (ValueError, re.error) as error:
        raise ConfigError("dataset.subject", pattern, str(error), allowed=allowed) from None
    if subjects.isna().any():
        unlike = paths[subjects.isna()]
        problem = f"fits no part of {len(unlike)} paths, such as {unlike.iloc[0]}"
        raise ConfigError("dataset.subject", pattern, problem, allowed=allowed)
    return subjects
