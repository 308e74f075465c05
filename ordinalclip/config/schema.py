"""The keys of a configuration that belong to no `_target_`; their annotations are what `check` enforces."""

from dataclasses import dataclass
from typing import Annotated, Literal

from ordinalclip.config.kinds import Between

# A rate of 0 would train nothing and call it training.
Rate = Annotated[float, Between(1e-12, None)]
PARTS = ("context", "rank", "head", "projection", "image", "text", "logit_scale")


@dataclass
class Settings:
    """Top level of `conf/train.yaml`.

    Attributes:
        seed: initial values, order of the images, augmentation; splits have a seed of their own.
        epochs: passes over the training split.
        lr: what `trainable` refers to.
        batch_size: images a batch, over all devices; a step takes `trainer.accumulate_grad_batches` of them.
        augment: random crops and flips; null = where the image tower is trained or `features.views` are kept.
        label_draw: what training takes of several annotators' labels; evaluation takes the median.
        compile: torch.compile of a trained image tower; a minute at the start, quicker steps in bfloat16.
        num_workers: processes that decode images; not used on cached features and images.
        sweep_name: name under which runs are grouped; typed as `sweep=`, which may also be a file of settings.
        alpha: share of images whose true rank the intervals of the default level may miss; see `calibration.json`.
        tags: free words for MLflow.
        register: finished runs become MLflow models, to be served; see `python -m ordinalclip.register`.
        rerun: archive what exists of this run and repeat it.
    """

    seed: Annotated[int, Between(0, 2147483647)]
    epochs: Annotated[int, Between(1, None)]
    lr: Rate
    batch_size: Annotated[int, Between(1, None)]
    augment: bool | None
    label_draw: Literal["median", "random", "distribution"]
    compile: bool
    num_workers: Annotated[int, Between(0, None)]
    alpha: Annotated[float, Between(0.001, 0.5)]
    sweep_name: str | None
    tags: list[str]
    register: bool
    rerun: bool


@dataclass
class Trainable:
    """Learning rate of each part; null = frozen.

    A part that the prompt lacks (a head under `prompt=rank`) may have a rate: nothing comes of it, but it is part of
    the run's id, since only the prompt's code knows its parts.
    """

    context: Rate | None
    rank: Rate | None
    head: Rate | None
    projection: Rate | None
    image: Rate | None
    text: Rate | None
    logit_scale: Rate | None


@dataclass
class ImageRates:
    """Rates within a trained image tower, as factors of `trainable.image`; see `ordinalclip.optimizers.layer_rates`.

    Attributes:
        new_layers: names of layers in the tower, or beginnings of them in whole words (`layer4`, `blocks.11.mlp`).
        new_factor: of these.
        base_factor: of all others.
        layer_decay: each of the others learns at so much of the rate of the layer behind it; null = all alike.
    """

    new_layers: list[str]
    new_factor: Rate
    base_factor: Rate
    layer_decay: Annotated[float, Between(1e-6, 1)] | None


@dataclass
class Lookahead:
    """`optimizer.lookahead`: fast weights that are pulled back towards slow ones every few steps.

    Attributes:
        steps: steps of the optimiser between two pulls.
        alpha: share of the way from the slow weights to the fast ones at which both go on.
    """

    steps: Annotated[int, Between(1, None)]
    alpha: Annotated[float, Between(0, 0.999999)]


@dataclass
class Init:
    """Where initial values come from.

    Attributes:
        checkpoint: a run's directory, its id below `paths.runs`, or a checkpoint file; null: weights and prompts as
            configured.
        parts: of the model; null = all that the checkpoint has.
    """

    checkpoint: str | int | None
    parts: list[Literal["context", "rank", "head", "projection", "image", "text", "logit_scale"]] | None


@dataclass
class Subset:
    """Less of the data set; see `ordinalclip.datasets.subset.take_subset`.

    Attributes:
        shots: training images of each rank.
        shift_ranks: how many ranks are thinned.
        shift_which: the most frequent ones, or ranks at random.
        shift_keep: the share of their training images that these keep.
        hide_every: n; every n-th rank, but not the highest, is left out of training and val.
        hide_below: ranks below this one are.
        hide_above: ranks above this one are.
        label_noise: share of the training images that get a wrong rank.
        label_noise_kernel: a rank beside the right one, or any other.
        eval_min_rank: val and test keep ranks from this one on.
        seed: of the draw.
    """

    shots: Annotated[int, Between(1, None)] | None
    shift_ranks: Annotated[int, Between(1, "num_ranks")] | None
    shift_keep: Annotated[float, Between(0.0, 1.0)] | None
    eval_min_rank: Annotated[int, Between(0, "num_ranks")] | None
    seed: Annotated[int, Between(0, None)]
    # The records of older runs lack what follows.
    shift_which: Literal["frequent", "random"] = "frequent"
    hide_every: Annotated[int, Between(2, "num_ranks")] | None = None
    hide_below: Annotated[int, Between(1, "num_ranks")] | None = None
    hide_above: Annotated[int, Between(0, "num_ranks")] | None = None
    label_noise: Annotated[float, Between(0.0, 1.0)] | None = None
    label_noise_kernel: Literal["neighbour", "uniform"] = "neighbour"


@dataclass
class Features:
    """How features of a frozen image tower are extracted.

    Attributes:
        batch_size: images per forward pass of the extraction; 64 at most, which are kept together.
        views: augmented views kept of each training image, one of which is drawn in each epoch; 0 = the plain image,
            or with `augment=true` a fresh view through the tower in each epoch.
        precision: that the tower computes in; what it gives is kept in float32.
    """

    batch_size: Annotated[int, Between(1, 64)]
    views: Annotated[int, Between(0, 1000)]
    precision: Literal["fp32", "bf16"]


@dataclass
class Cache:
    """What may be kept on disk to be quick; none of it changes a result or enters a run's id.

    Attributes:
        images: keep the decoded images of runs that train on images.
        limit_gb: of decoded images and features together, in 10⁹ bytes; null = as much as the disk holds. Images that
            would go over it are decoded in each epoch; features are refused.
    """

    images: bool
    limit_gb: Annotated[float, Between(0, None)] | None


@dataclass
class Paths:
    """Where things lie; none of it enters a run's id.

    Attributes:
        runs: run directories and the MLflow store.
        data: data sets that are made or fetched.
        cache: weights, features, decoded images.
    """

    runs: str
    data: str
    cache: str


@dataclass
class Cluster:
    """A SLURM site's settings; none of it enters a run's id. null leaves a choice to the site.

    Attributes:
        partition: of the nodes.
        account: that is charged.
        qos: quality of service.
        constraint: features that a node must have.
        cpus: of a job.
        mem_gb: of a job.
        gpus: of a job.
        gres: in place of `gpus`, in the site's own words.
        setup: lines of shell before a job starts.
        array_limit: jobs in one array.
        array_parallelism: jobs of an array that run at a time.
    """

    partition: str | None
    account: str | None
    qos: str | None
    constraint: str | None
    cpus: Annotated[int, Between(1, None)]
    mem_gb: Annotated[float, Between(0.1, None)]
    gpus: Annotated[int, Between(0, None)]
    gres: str | None
    setup: list[str]
    array_limit: Annotated[int, Between(1, None)]
    array_parallelism: Annotated[int, Between(1, None)]
