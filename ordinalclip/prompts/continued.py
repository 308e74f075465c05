"""Words as they are read in the middle of a sentence, which some tokenizers tell from its beginning.

For CLIP a word is a word wherever it stands. RoBERTa's "42" at the beginning is another token than behind a space, and
a sentence piece begins with its space, so that "." by itself is two pieces and behind a word one.
"""

from ordinalclip.text import TextTower

# Any word will do that is one token and is not joined with what follows.
_BEFORE = "a"


def tokenize_continued(text: TextTower, words: str) -> list[int]:
    """Token ids of words that stand behind others, without special tokens.

    A mark such as "." follows at once, anything else behind a space. Where the tokens cannot be told from those of the
    word before, the words are read by themselves.

    Args:
        text: tower that knows the tokens.
        words: what stands there; may be empty.
    """
    if not words:
        return []
    before = text.tokenize(_BEFORE)
    gap = " " if words[0].isalnum() else ""
    together = text.tokenize(f"{_BEFORE}{gap}{words}")
    return together[len(before) :] if together[: len(before)] == before else text.tokenize(words)
