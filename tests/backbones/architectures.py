"""open_clip's architectures, small: every kind of text tower keeps what makes it one, at a width of 16."""

import json
import string
from pathlib import Path
from typing import Any

import torch

VISION = {"image_size": 16, "patch_size": 8, "width": 16, "layers": 1, "head_width": 8}
SIZES = {"width": 16, "heads": 2, "layers": 2}
VOCABULARY = 200
LETTERS = string.ascii_lowercase + string.digits + ".,!?"

# How the published tokenizers put a sentence together ($A), and what they fill it up with.
_TEMPLATES = {
    "bert": ("[CLS] $A [SEP]", "[PAD]"),
    "roberta": ("<s> $A </s>", "<pad>"),
    "t5": ("$A </s>", "<pad>"),
    "siglip": ("$A </s>", "</s>"),
    "nllb": ("eng_Latn $A </s>", "<pad>"),
}
_SPECIAL = {
    "bert": ("[PAD]", "[UNK]", "[CLS]", "[SEP]"),
    "roberta": ("<s>", "<pad>", "</s>", "<unk>"),
    "t5": ("<pad>", "</s>", "<unk>"),
    "siglip": ("<pad>", "</s>", "<unk>"),
    "nllb": ("<s>", "<pad>", "</s>", "<unk>", "eng_Latn"),
}


def published_models() -> list[str]:
    """Names of the models that come with open_clip; `list_models` also has what tests add."""
    import open_clip

    return sorted(path.stem for path in (Path(open_clip.__file__).parent / "model_configs").glob("*.json"))


def kind_of(repository: str) -> str:
    """Which of the tokenizers above stands for one on the hub."""
    kinds = {"nllb": "nllb", "mt5": "t5", "SigLIP2": "t5", "SigLIP": "siglip", "bert-base": "bert"}
    return next((kind for word, kind in kinds.items() if word in repository), "roberta")


def write_tokenizer(folder: Path, kind: str) -> Path:
    """A tokenizer of letters, some words and marks in a folder, as `AutoTokenizer` reads it."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    folder.mkdir(parents=True, exist_ok=True)
    special = _SPECIAL[kind]
    words = ["the", "age", "of", "person", "is", "dog"]
    if kind == "bert":
        pieces = [*special, *LETTERS, *(f"##{letter}" for letter in LETTERS), *words]
        tokenizer = Tokenizer(models.WordPiece({p: i for i, p in enumerate(pieces)}, unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    else:
        pieces = [*special, "▁", *LETTERS, *(f"▁{letter}" for letter in LETTERS), *(f"▁{word}" for word in words)]
        scores = [(piece, -float(len(pieces) - i) / 10) for i, piece in enumerate(pieces)]
        tokenizer = Tokenizer(models.Unigram(scores, unk_id=special.index("<unk>")))
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    template, padding = _TEMPLATES[kind]
    used = [(token, special.index(token)) for token in template.split() if token != "$A"]
    tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=used)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": padding}
    settings |= {"unk_token": "[UNK]", "sep_token": "[SEP]"} if kind == "bert" else {"unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def write_byte_pairs(folder: Path) -> Path:
    """A tokenizer of bytes, RoBERTa's kind, without any pair: a space in front of a word is a token."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    pieces = ["<s>", "<pad>", "</s>", "<unk>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, [], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def write_encoder(folder: Path, repository: str) -> None:
    """A small Hugging Face text encoder's `config.json` beside its tokenizer."""
    if "mt5" in repository:
        config: dict[str, Any] = {"model_type": "mt5", "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2}
        config |= {"num_heads": 2, "pad_token_id": 0, "eos_token_id": 1, "dropout_rate": 0.0}
    elif "nllb" in repository:
        config = {"model_type": "m2m_100", "d_model": 16, "encoder_layers": 2, "encoder_attention_heads": 2}
        config |= {"encoder_ffn_dim": 32, "decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 32}
        config |= {"max_position_embeddings": 128, "pad_token_id": 1, "scale_embedding": True}
    else:
        config = {"model_type": "xlm-roberta" if "xlm" in repository else "roberta", "hidden_size": 16}
        config |= {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "pad_token_id": 1}
        config |= {"max_position_embeddings": 128, "type_vocab_size": 1}
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": VOCABULARY}))


def small_model(model: str, tmp_path: Path) -> tuple[Any, str, Path | None]:
    """One of open_clip's models, made small, at random: the model, its name in open_clip, its tokenizer's folder."""
    import open_clip

    from ordinalclip.backbones.towers.openclip_models import empty_model

    config = open_clip.get_model_config(model)
    text = config["text_cfg"]
    config |= {"embed_dim": 12, "vision_cfg": VISION}
    folder = None
    if text.get("hf_tokenizer_name"):
        folder = write_tokenizer(tmp_path / "words", kind_of(text["hf_tokenizer_name"]))
        text["vocab_size"] = VOCABULARY
        if text.get("hf_model_name"):
            write_encoder(folder, text["hf_model_name"])
            text["hf_model_name"] = str(folder)
        text["hf_tokenizer_name"] = str(folder)
    if not text.get("hf_model_name"):
        text |= SIZES
    if "multimodal_cfg" in config:
        config["multimodal_cfg"] |= SIZES | {"vocab_size": 8}
    name = f"small-{model}"
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / f"{name}.json")
    torch.manual_seed(0)
    clip = empty_model(name, quick_gelu=None, text_folder=folder).eval()
    return clip, name, folder
