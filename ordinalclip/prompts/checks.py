"""Checks of a prompt's settings, before data are read and when a prompt is built. Imports no torch.

Also the names of the ranks that a prompt uses in place of the data set's.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Formatter
from typing import Any

from ordinalclip.errors import ConfigError

_ALLOWED = "a list of names, the lowest rank's first; a text file with one name a line, _ for a space; or null"

DEFAULT_NUM_CONTEXT_TOKENS = 10
_OURS = "ordinalclip.prompts."
_DEFAULT_NUM_BASE_RANKS = 3


def rank_names_of(prompt: Mapping[str, Any], num_ranks: int | None = None) -> list[str] | None:
    """The names that `prompt.rank_names` gives, or None if the data set's names are used.

    Args:
        prompt: the `prompt` group.
        num_ranks: R, if known.

    Raises:
        ConfigError: if the file is missing or not text, a name is empty, or there are not R names.
    """
    given = prompt.get("rank_names")
    if given is None:
        return None
    names = _lines(given) if isinstance(given, str) else given
    if not isinstance(names, list) or not all(isinstance(name, str) and name.strip() != "" for name in names):
        raise ConfigError(
            "prompt.rank_names", given, "is not made of names", allowed=_ALLOWED, remedy='7 is text as "7"'
        )
    if num_ranks is not None and len(names) != num_ranks:
        problem = f"{len(names)} names for {num_ranks} ranks"
        remedy = "prompt.base_rank_names takes one a base rank" if len(names) == prompt.get("num_base_ranks") else ""
        raise ConfigError("prompt.rank_names", given, problem, allowed=f"{num_ranks} names", remedy=remedy)
    return names


def resolve_rank_names(cfg: dict[str, Any]) -> dict[str, Any]:
    """A configuration with the rank names in place of the path of their file, so that the run id hashes the names."""
    names = rank_names_of(cfg["prompt"])
    return cfg if names is None else cfg | {"prompt": cfg["prompt"] | {"rank_names": names}}


def cap_base_ranks(
    prompt: Mapping[str, Any], num_ranks: int, overrides: Sequence[str] = ()
) -> tuple[Mapping[str, Any], str]:
    """Lowers the default of `num_base_ranks` to the number of ranks, so that two ranks can be trained on.

    Args:
        prompt: the `prompt` group.
        num_ranks: R.
        overrides: the overrides that the user typed; a typed number is kept.

    Returns:
        The group, and a note if the number was lowered, else "".
    """
    typed = {word.lstrip("+~").partition("=")[0] for word in overrides}
    is_default = prompt.get("num_base_ranks") == _DEFAULT_NUM_BASE_RANKS and prompt.get("base_rank_names") is None
    is_free = is_default and not typed & {"prompt.num_base_ranks"}
    if not is_free or not prompt["_target_"].startswith(_OURS) or not 1 <= num_ranks < _DEFAULT_NUM_BASE_RANKS:
        return prompt, ""
    note = f"prompt.num_base_ranks is {num_ranks} here, the number of ranks; its default is {_DEFAULT_NUM_BASE_RANKS}"
    return {**prompt, "num_base_ranks": num_ranks}, note


def _lines(path: str) -> list[str]:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("prompt.rank_names", path, f"cannot be read: {error}", allowed=_ALLOWED) from None
    return [line.replace("_", " ").strip() for line in text.rstrip().splitlines()]


def check_prompt(prompt: Mapping[str, Any], num_ranks: int | None = None, room: int | None = None) -> None:
    """Checks that settings of the group `prompt` fit together; their types are checked before.

    A prompt outside this package is checked by its constructor.

    Args:
        prompt: the group.
        num_ranks: R, if known.
        room: tokens that the text tower takes, special tokens not counted, if known.

    Raises:
        ConfigError: if two settings contradict each other.
    """
    if not prompt["_target_"].startswith(_OURS):
        return
    if "num_context_tokens" in prompt:
        check_context(prompt.get("context"), prompt["num_context_tokens"])
        if room is not None:
            check_prompt_length(prompt, room)
    if "num_base_ranks" in prompt:
        check_base_rank_names(prompt.get("base_rank_names"), prompt["num_base_ranks"], prompt.get("rank_init", "names"))
    elif "tokens_per_rank" in prompt:
        check_free_tokens(prompt["tokens_per_rank"], prompt.get("rank_init", "names"))
    if "template" in prompt:
        check_template(prompt["template"])
    if num_ranks is not None:
        check_tokens(prompt.get("tokens_per_rank"), num_ranks)
        check_sentences(prompt.get("sentences"), num_ranks)


def parts_of(prompt: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The learned parts of a prompt of this package, derived from its settings; None for another prompt."""
    if not prompt["_target_"].startswith(_OURS):
        return None
    if "num_context_tokens" in prompt:
        return ("context", "rank")
    return () if "template" in prompt or "sentences" in prompt else ("head",)


def check_context(context: str | None, num_context_tokens: int | None) -> None:
    """Raises a ConfigError if a phrase is blank or comes with a number of tokens, which the phrase determines."""
    if context is None:
        return
    if num_context_tokens is not None:
        raise ConfigError(
            "prompt.num_context_tokens",
            num_context_tokens,
            f"the phrase {context!r} brings its own tokens",
            remedy="leave it out, or start from a random context with prompt.context=null",
        )
    if not context.strip():
        allowed = "a phrase, or null for a random one"
        raise ConfigError("prompt.context", repr(context), "has no words", allowed=allowed)


def check_prompt_length(prompt: Mapping[str, Any], room: int) -> None:
    """Raises a ConfigError if sentences cannot fit into the text tower; words not tokenized yet count as one token."""
    tokens, context = prompt.get("tokens_per_rank"), prompt["num_context_tokens"]
    of_rank = 1 if tokens is None else tokens if isinstance(tokens, int) else max(tokens, default=1)
    of_context = context if context is not None else 1 if prompt.get("context") else DEFAULT_NUM_CONTEXT_TOKENS
    needed = of_rank + of_context + (1 if prompt.get("ending", ".").strip() else 0)
    if needed > room:
        key, value = ("tokens_per_rank", tokens) if of_rank > of_context else ("num_context_tokens", context)
        problem = f"sentences of {needed} tokens or more, special ones not counted; this text tower takes {room}"
        raise ConfigError(f"prompt.{key}", value, problem, remedy="use fewer tokens for the context or the ranks")


def check_base_rank_names(names: Sequence[str] | None, num_base_ranks: int, rank_init: str) -> None:
    """Raises a ConfigError unless there are K names of base ranks, and those are not random."""
    if names is None:
        return
    if rank_init == "random":
        problem = "not used with prompt.rank_init=random"
        raise ConfigError("prompt.base_rank_names", list(names), problem, allowed="null")
    if len(names) != num_base_ranks:
        problem = f"{len(names)} names for {num_base_ranks} base ranks"
        remedy = "prompt.rank_names takes one a rank"
        raise ConfigError(
            "prompt.base_rank_names", list(names), problem, allowed=f"{num_base_ranks} names", remedy=remedy
        )


def check_free_tokens(tokens_per_rank: int | Sequence[int] | None, rank_init: str) -> None:
    """Raises a ConfigError if a number of tokens is set although the ranks start from names, which determine it."""
    if tokens_per_rank is not None and rank_init != "random":
        problem = "the ranks' names bring their own number of tokens"
        remedy = "leave it out, or start from random tokens with prompt.rank_init=random"
        raise ConfigError("prompt.tokens_per_rank", tokens_per_rank, problem, allowed="null", remedy=remedy)


def check_tokens(tokens_per_rank: int | Sequence[int] | None, num_ranks: int) -> None:
    """Raises a ConfigError if a list of numbers of tokens has not one number per rank."""
    if isinstance(tokens_per_rank, Sequence) and len(tokens_per_rank) != num_ranks:
        problem = f"{len(tokens_per_rank)} numbers for {num_ranks} ranks"
        allowed = f"one number, or {num_ranks} of them"
        raise ConfigError("prompt.tokens_per_rank", list(tokens_per_rank), problem, allowed=allowed)


def check_sentences(sentences: Sequence[str] | None, num_ranks: int) -> None:
    """Raises a ConfigError unless there is one sentence per rank."""
    if sentences is not None and len(sentences) != num_ranks:
        problem = f"{len(sentences)} sentences for {num_ranks} ranks"
        allowed = f"{num_ranks} sentences, or null"
        raise ConfigError("prompt.sentences", list(sentences), problem, allowed=allowed)


def check_template(template: str) -> None:
    """Raises a ConfigError unless a template has the field {name} and no other field but {context}."""
    allowed = "a sentence with {name} and, if wanted, {context}"
    try:
        fields = [field for _, field, _, _ in Formatter().parse(template) if field is not None]
    except ValueError as error:
        raise ConfigError("prompt.template", template, str(error), allowed=allowed) from None
    if "name" not in fields or not set(fields) <= {"name", "context"}:
        raise ConfigError("prompt.template", template, f"its fields are {fields}", allowed=allowed)
