"""Checkpoints and configurations of the structure that the paper's code writes, with random weights."""

import copy
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

NAMES = ["7", "25", "100", "new", "very old"]

CONFIG: dict[str, Any] = {
    "runner_cfg": {
        "seed": 42,
        "model_cfg": {
            "type": "OrdinalCLIP",
            "prompt_learner_cfg": {
                "type": "RankPromptLearner",
                "num_ranks": 5,
                "num_base_ranks": 3,
                "num_tokens_per_rank": 1,
                "num_context_tokens": 4,
                "rank_tokens_position": "tail",
                "init_rank_path": None,
                "init_context": None,
                "rank_specific_context": False,
                "interpolation_type": "linear",
            },
            "text_encoder_name": "tiny",
            "image_encoder_name": "tiny",
        },
        "optimizer_and_scheduler_cfg": {
            "param_dict_cfg": {
                "lr_prompt_learner_context": 1e-4,
                "lr_prompt_learner_ranks": 1e-4,
                "lr_image_encoder": 1e-4,
                "lr_text_encoder": 0.0,
                "lr_logit_scale": 0.0,
            }
        },
    },
    "data_cfg": {
        "val_data_file": "data/val.txt",
        "test_data_file": "data/val.txt",
        "transforms_cfg": {
            "input_transforms": ["random_resized_crop", "random_hflip", "normalize"],
            "input_resize": [256, 256],
            "input_size": [224, 224],
            "pixel_mean": [0.485, 0.456, 0.406],
            "pixel_std": [0.229, 0.224, 0.225],
        },
    },
    "trainer_cfg": {"max_epochs": 100},
}


def config(folder: Path, model: dict[str, Any] | None = None, **prompt: Any) -> Path:
    """Writes a configuration with some keys changed; returns its path."""
    made = copy.deepcopy(CONFIG)
    made["runner_cfg"]["model_cfg"] |= model or {}
    made["runner_cfg"]["model_cfg"]["prompt_learner_cfg"] |= prompt
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(made), encoding="utf-8")
    return path


def checkpoint(folder: Path, state: dict[str, Tensor], **more: Any) -> Path:
    """Writes tensors as Lightning would; returns the file's path."""
    path = folder / "last.ckpt"
    content = {"epoch": 99, "state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}
    torch.save(content | more, path)
    return path


def like(state: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Random tensors of these shapes, of the size that such tensors have: norms around 1, variances above 0."""
    made = {}
    for name, tensor in state.items():
        if not tensor.is_floating_point():
            made[name] = tensor.clone()
            continue
        noise = torch.randn(tensor.shape, generator=generator)
        if name.endswith("running_var"):
            made[name] = 0.5 + noise.abs()
        elif tensor.ndim == 1 and name.endswith("weight"):
            made[name] = 1 + 0.1 * noise
        else:
            made[name] = noise / max(tensor[0].numel(), 1) ** 0.5 if tensor.ndim > 1 else 0.1 * noise
    return made
