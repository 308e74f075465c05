"""What a text tower has to know of its tokenizer, whichever of open_clip's two kinds that is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ordinalclip.errors import ConfigError

# Short, lower case and without punctuation, so that no cleaning changes it.
_PROBE = "a dog"


@dataclass(frozen=True)
class Words:
    """How texts become token ids.

    Attributes:
        encode: token ids of a text, without special ones.
        prefix_ids: special tokens in front of every sentence; there may be none.
        suffix_ids: special tokens behind every sentence; there may be none.
        pad_id: the token that fills up shorter sentences.
        context_length: tokens that the tokenizer fills up to, special ones included.
    """

    encode: Callable[[str], list[int]]
    prefix_ids: list[int]
    suffix_ids: list[int]
    pad_id: int
    context_length: int

    def __deepcopy__(self, memo: dict[int, Any]) -> "Words":
        # Nothing here is ever changed; copies of a tower that is trained can share vocabularies of many megabytes.
        return self


def words_of(tokenizer: Any) -> Words:
    """The parts of an open_clip `SimpleTokenizer` or `HFTokenizer`.

    Raises:
        ConfigError: if sentences cannot be put together from its tokens.
    """
    if hasattr(tokenizer, "sot_token_id"):
        # Padding is 0, an exclamation mark's id, written by nobody else.
        return Words(tokenizer.encode, [tokenizer.sot_token_id], [tokenizer.eot_token_id], 0, tokenizer.context_length)
    return _of_hugging_face(tokenizer)


def _of_hugging_face(tokenizer: Any) -> Words:
    """What surrounds a sentence is read off one: models' templates differ ([CLS]…[SEP], …</s>, a language's code)."""
    inner = tokenizer.tokenizer

    def encode(text: str) -> list[int]:
        return list(inner(tokenizer.clean_fn(text), add_special_tokens=False, verbose=False).input_ids)

    words, whole = encode(_PROBE), list(inner(_PROBE, verbose=False).input_ids)
    starts = [i for i in range(len(whole)) if whole[i : i + len(words)] == words]
    if not words or not starts:
        raise _unfit(inner, f"it makes {whole} of a sentence and {words} of its words")
    if inner.pad_token_id is None or inner.padding_side != "right":
        raise _unfit(inner, "it does not fill up sentences on the right")
    prefix, suffix = whole[: starts[0]], whole[starts[0] + len(words) :]
    if tokenizer.strip_sep_token:
        # CLIPA was trained with this token overwritten by 0.
        suffix = [0 if index == inner.sep_token_id else index for index in suffix]
    return Words(encode, prefix, suffix, int(inner.pad_token_id), tokenizer.context_length)


def _unfit(inner: Any, problem: str) -> ConfigError:
    return ConfigError("backbone.tokenizer", inner.name_or_path, f"{problem}, so that prompts cannot be made with it")
