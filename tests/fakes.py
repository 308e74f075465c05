"""A text tower and a backbone, tiny and quick, that notice everything: words, their order, where a text ends."""

import torch
from torch import Tensor, nn


class FakeText(nn.Module):
    """Follows `TextTower`. A digit is a token, so is any other run of characters, and so is a full stop.

    Ids are unlike CLIP's on purpose: nothing may rely on those. Two special tokens end a text, the last of them is EOT.
    """

    trims = True

    def __init__(self, width: int = 8, embed_dim: int = 6, context_length: int = 32) -> None:
        super().__init__()
        self.prefix_ids, self.suffix_ids, self.pad_id = [3], [4, 5], 6
        self.width, self.embed_dim, self.context_length = width, embed_dim, context_length
        generator = torch.Generator().manual_seed(7)
        self.tokens = nn.Embedding.from_pretrained(torch.randn(64, width, generator=generator), freeze=False)
        self.positions = nn.Parameter(torch.randn(context_length, width, generator=generator))
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(width, embed_dim)

    def tokenize(self, text: str) -> list[int]:
        for mark in ".0123456789":
            text = text.replace(mark, f" {mark} ")
        return [7 + sum(map(ord, word)) % 57 for word in text.split()]

    def embed(self, ids: Tensor) -> Tensor:
        return self.tokens(ids)

    def encode(self, embeddings: Tensor, eot: Tensor) -> Tensor:
        seen = torch.tanh(embeddings + self.positions[: embeddings.shape[1]])
        inside = torch.arange(embeddings.shape[1]) <= eot[:, None]
        mean = (seen * inside[..., None]).sum(1) / inside.sum(1, keepdim=True)
        return self.head(self.dropout(mean + seen[torch.arange(len(eot)), eot]))


class FakeBackbone(nn.Module):
    """Follows `Backbone`: images [B, 3, 8, 8] → features [B, 10] → [B, 6]; BatchNorm and Dropout in the image tower."""

    feature_dim = 10
    embed_dim = 6

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Sequential(
            nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.Flatten(), nn.Dropout(0.5), nn.Linear(36, 10)
        )
        self.text = FakeText(embed_dim=6)
        self.projection = nn.Linear(10, 6, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(2.0))
