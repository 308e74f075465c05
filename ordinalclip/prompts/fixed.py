"""Fixed prompts: given sentences, nothing learned (zero-shot)."""

from collections.abc import Sequence

from torch import Tensor, nn

from ordinalclip.errors import ConfigError
from ordinalclip.prompts.checks import check_sentences, check_template
from ordinalclip.prompts.sentence import check_length, embed_ids, pad_rows
from ordinalclip.text.encoding import PromptTokens, TextTower


class FixedPrompt(nn.Module):
    """One sentence per rank, from a template or written out.

    Args:
        template: sentence with the fields `{context}` and `{name}`, the latter required.
        context: phrase for `{context}`; None leaves it empty.
        sentences: R sentences, the lowest rank's first, used in place of the template.
        text: text tower whose tokens are used.
        embed_dim: width of the shared space; not needed here.
        rank_names: names of the R ranks.

    Raises:
        ConfigError: unknown fields, a wrong number of sentences, an empty or too long sentence.
    """

    embeddings: Tensor
    eot: Tensor

    def __init__(
        self,
        *,
        template: str = "{context} {name}.",
        context: str | None = None,
        sentences: Sequence[str] | None = None,
        text: TextTower,
        embed_dim: int,
        rank_names: Sequence[str],
    ) -> None:
        super().__init__()
        key = "prompt.template" if sentences is None else "prompt.sentences"
        check_sentences(sentences, len(rank_names))
        if sentences is None:
            sentences = fill_template(template, context, rank_names)
        words = [text.tokenize(sentence) for sentence in sentences]
        if not all(words):
            raise ConfigError(key, list(sentences), "a sentence without words")
        layout = pad_rows([[*text.prefix_ids, *ids, *text.suffix_ids] for ids in words], padding=text.pad_id)
        check_length(layout.rows.shape[1], text, key, max(sentences, key=len))
        embeddings_RLW = embed_ids(text, layout.rows.flatten().tolist()).unflatten(0, layout.rows.shape)
        self.register_buffer("embeddings", embeddings_RLW, persistent=False)
        self.register_buffer("eot", layout.eot, persistent=False)
        self.prefix_length = layout.prefix_length

    def forward(self) -> PromptTokens:
        """The R sentences, as token embeddings."""
        return PromptTokens(self.embeddings, self.eot, self.prefix_length)

    def parts(self) -> dict[str, list[str]]:
        """No part: nothing here is learned."""
        return {}


def fill_template(template: str, context: str | None, rank_names: Sequence[str]) -> list[str]:
    """One sentence per rank, without the spaces that an empty context leaves behind."""
    check_template(template)
    filled = (template.format(context="" if context is None else context, name=name) for name in rank_names)
    return [" ".join(sentence.split()) for sentence in filled]
