"""The tokenizer of an open_clip model, made from files on this machine."""

from pathlib import Path
from typing import Any

from ordinalclip.errors import ConfigError

DEFAULT_CONTEXT_LENGTH = 77  # open_clip's, where a model's configuration has none


def build_tokenizer(model: str, folder: Path | None) -> Any:
    """An open_clip `SimpleTokenizer` or `HFTokenizer`, with the model's cleaning of texts and number of tokens.

    Args:
        model: open_clip's name.
        folder: of `find_tokenizer`; None where the model reads CLIP's words.

    Raises:
        ConfigError: if the folder's files are no tokenizer.
    """
    import open_clip
    from open_clip.tokenizer import HFTokenizer

    if folder is None:
        return open_clip.get_tokenizer(model)
    config = open_clip.get_model_config(model)["text_cfg"]
    options = config.get("tokenizer_kwargs", {})
    length = config.get("context_length", DEFAULT_CONTEXT_LENGTH)
    try:
        return HFTokenizer(str(folder), context_length=length, **options, local_files_only=True)
    except Exception as error:  # whatever foreign files make a foreign reader raise
        said = " ".join(str(error).split()[:40])
        problem = f"its files cannot be read as a tokenizer: {type(error).__name__}: {said}"
        raise ConfigError("backbone.tokenizer", folder, problem) from error
