"""What is told when a loss is no number: where, of which images, and how large each part and its gradient are."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ordinalclip.model import OrdinalCLIP
from ordinalclip.parallel import gather_batch

_SHOWN = 5  # images


@dataclass(frozen=True)
class Step:
    """One batch of an optimiser step, or one process's share of it.

    Attributes:
        row: of the manifest [B].
        logits: [B, R], without a graph.
        loss: a scalar, without a graph.
    """

    row: Tensor
    logits: Tensor
    loss: Tensor


def failure(steps: Sequence[Step], model: OrdinalCLIP, paths: Sequence[str], where: str) -> str:
    """The message about a loss that is not finite. Where several processes fit together, all of them must ask for it.

    Args:
        steps: the batches of the optimiser step.
        model: with the gradients of the step.
        paths: of every row of the manifest; empty where they are not known.
        where: which step it is.
    """
    step = next((step for step in steps if not bool(step.loss.isfinite())), steps[-1])
    logits_BR, row_B = gather_batch(step.logits, step.row)  # another process's share may be what ruined it
    return "\n".join(
        [
            f"the loss became {float(step.loss)} in {where}, which is not kept",
            f"  images: {_images(logits_BR, row_B.tolist(), paths)}",
            *(f"  {part}: {text}" for part, text in _norms(model).items()),
            "  what to do: a lower learning rate (trainable.*) or trainer.gradient_clip_val=1.0 may help",
        ]
    )


def _images(logits_BR: Tensor, rows: Sequence[int], paths: Sequence[str]) -> str:
    """The batch's images, or those of them whose logits are not finite where that is not so for all."""
    ruined = (~logits_BR.isfinite().all(dim=1)).tolist()
    all_alike = all(ruined) or not any(ruined)
    rows = [row for row, is_ruined in zip(rows, ruined, strict=True) if is_ruined or all_alike]
    names = [paths[row] if paths else f"row {row}" for row in rows]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    which = "of the batch" if all_alike else "with logits that are not finite"
    return f"{', '.join(names[:_SHOWN])}{more} ({len(names)} {which})"


def _norms(model: OrdinalCLIP) -> dict[str, str]:
    """Part → norm of its parameters, and of its gradient where it is trained."""
    norms = {}
    for part, named in model.parts().items():
        trained = [parameter for _, parameter in named if parameter.requires_grad]
        if trained:
            gradients = [parameter.grad for parameter in trained if parameter.grad is not None]
            norms[part] = f"parameters {_norm(trained):.4g}, gradient {_norm(gradients):.4g}"
    return norms


def _norm(tensors: Sequence[Tensor]) -> float:
    return float(sum(tensor.detach().double().square().sum() for tensor in tensors) ** 0.5) if tensors else 0.0
