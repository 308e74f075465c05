"""The model card of "mini", with its measured numbers filled in."""

from collections.abc import Mapping

_CARD = """# Model card: the text projection of the backbone `mini`

File: `mini_projection.safetensors`, SHA-256 `{sha256}`.
Written by `python -m ordinalclip.backbones.fit_mini`, together with this card.

## What it is
`mini` joins two small pretrained towers that were made apart from each other: EfficientNet-Lite0 (ImageNet classifier,
Apache-2.0) for images and all-MiniLM-L6-v2 (sentence encoder, Apache-2.0) for text. This file is the missing step
between them: a perceptron 384 → 1024 → 1280 with 1.7 million parameters, in float16, that takes a sentence's embedding
into the space of Lite0's features. **It is not CLIP** and has never seen an image with a caption.

## How it was fitted
Lite0's classifier has a row of 1280 numbers for each of ImageNet's 1,000 classes: a direction that images of the class
point in. {num_texts} sentences about these classes, made of their names and WordNet's definitions, are taught to point
the same way (the idea of DeViSE, Frome et al., NeurIPS 2013, with classifier rows as targets). No image is used. The
fit is deterministic for a machine and a version of PyTorch, and takes about two minutes on two cores.

## How well it does
Fitted without {num_held_out} of the classes, it is asked which of these {num_held_out} a sentence about one of them
means. The mean over five such fits, in which each class is held out once:

| sentence | top-1 | top-5 |
|---|---|---|
| "a photo of a NAME" | {photo_top1:.1%} | {photo_top5:.1%} |
| WordNet's definition, with or without the name | {definition_top1:.1%} | {definition_top5:.1%} |
| chance | {chance_top1:.1%} | {chance_top5:.1%} |

The shipped file is fitted on all classes with the same settings.

## What it is good for, and what not
It gives the platform a dual encoder that runs offline, is small enough for two cores and for tests, and knows common
objects. It knows nothing of grades, ages, numbers or styles: grading by sentences alone is worse than guessing the
median, so prompts and the image adapter have to be trained. Use a real CLIP (`backbone=vit_b16`) for results that are
to be compared with others'. What ImageNet, WordNet and MiniLM's training texts are biased towards, this is as well.

## Why it is shipped and not built on first use
Fits differ in their last bits between machines and library versions. One file has one hash: a run id, which contains
the weights' hashes, is then the same everywhere, results can be compared, and the first use waits for nothing.

## Licence
MIT, as this project. Derived from the two towers named above; class names and definitions come from WordNet 3.0 through
timm.
"""


def fill_card(*, sha256: str, num_texts: int, num_held_out: int, scores: Mapping[str, tuple[float, float]]) -> str:
    """The card's text.

    Args:
        sha256: of the weight file.
        num_texts: how many sentences it was fitted on.
        num_held_out: how many classes were kept out to measure.
        scores: kind of sentence ("photo", "definition") → top-1 and top-5 accuracy.
    """
    return _CARD.format(
        sha256=sha256,
        num_texts=f"{num_texts:,}",
        num_held_out=num_held_out,
        photo_top1=scores["photo"][0],
        photo_top5=scores["photo"][1],
        definition_top1=scores["definition"][0],
        definition_top5=scores["definition"][1],
        chance_top1=1 / num_held_out,
        chance_top5=5 / num_held_out,
    )
