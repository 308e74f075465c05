"""Cross entropy from image to text plus divergence from text to image [OrdinalCLIP]. B images, R ranks."""

from typing import Annotated

from torch import Tensor, nn
from torch.nn import functional as F

from ordinalclip.config.kinds import Between
from ordinalclip.errors import ConfigError
from ordinalclip.model import Output
from ordinalclip.system.distributed import gather_batch


def text_to_image_kl(logits_BR: Tensor, rank_B: Tensor, target_scale: float = 10.0) -> Tensor:
    """How far each rank's choice among the batch's images is from its own images.

    For a rank c that occurs in the batch, with softmaxes over the images b:
    KL(softmax_b(target_scale · 1[rank_b = c]) ‖ softmax_b(logits[b, c])); the mean over the ranks that occur.

    Where several annotators graded an image, the share of them that chose c replaces 1[rank_b = c], and the
    mean weighs c by the largest share that an image of the batch gives it; with a single one this is the formula above.

    The images of a batch are compared with each other, so under data parallelism the logits have to be gathered first;
    `CrossEntropyKL` does so.

    Args:
        logits_BR: logits [B, R].
        rank_B: true ranks [B], integers; or of each image the share of each rank [B, R].
        target_scale: sharpness of the target; at 10 a single image of its rank holds 1/(1 + (B-1) exp(-10)) of it.

    Returns:
        A scalar; 0 for a batch of one image.
    """
    own_BR = F.one_hot(rank_B, logits_BR.shape[1]) if rank_B.dim() == 1 else rank_B
    log_target_BR = F.log_softmax(target_scale * own_BR.to(logits_BR.dtype), dim=0)
    log_choice_BR = F.log_softmax(logits_BR, dim=0)
    kl_R = F.kl_div(log_choice_BR, log_target_BR, reduction="none", log_target=True).sum(dim=0)
    # Ranks that do not occur are masked rather than left out: shapes then do not depend on the batch.
    weight_R = own_BR.amax(dim=0)
    return (kl_R * weight_R).sum() / weight_R.sum()


class CrossEntropyKL(nn.Module):
    """`ce_weight` · cross entropy(image → text) + `kl_weight` · `text_to_image_kl`.

    Both are means over the batch of all processes. To average batches of different sizes, weight them by their number
    of images.

    Args:
        ce_weight: weight of the cross entropy.
        kl_weight: weight of the divergence.
        kl_target_scale: sharpness of the divergence's target.

    Raises:
        ConfigError: if both weights are 0.
    """

    def __init__(
        self,
        *,
        ce_weight: Annotated[float, Between(0, None)] = 1.0,
        kl_weight: Annotated[float, Between(0, None)] = 1.0,
        kl_target_scale: Annotated[float, Between(0, None)] = 10.0,
    ) -> None:
        super().__init__()
        if ce_weight == 0 and kl_weight == 0:
            raise ConfigError("loss.ce_weight", ce_weight, "with loss.kl_weight=0 nothing is left to minimize")
        self.ce_weight, self.kl_weight, self.kl_target_scale = ce_weight, kl_weight, kl_target_scale

    def forward(self, output: Output, rank: Tensor) -> dict[str, Tensor]:
        """The loss and its unweighted terms `ce` and `kl`; `rank` is [B], or shares [B, R]."""
        logits_BR, rank_B = gather_batch(output.logits, rank)
        ce = F.cross_entropy(logits_BR, rank_B)
        kl = text_to_image_kl(logits_BR.float(), rank_B, self.kl_target_scale)
        return {"loss": self.ce_weight * ce + self.kl_weight * kl, "ce": ce, "kl": kl}
