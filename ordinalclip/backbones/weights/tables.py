"""The models and weights that open_clip, timm and torchvision know, read from their sources.

Importing these libraries takes seconds, so their files are parsed instead. open_clip: models are JSON files, weights
("tags") are the table in `pretrained.py`. timm and torchvision: functions registered as models and their weight tables.
"""

import ast
import json
import re
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ordinalclip.errors import ConfigError

_TIMM_REGISTERED = re.compile(r"^@register_model\s*\ndef (\w+)\(", re.MULTILINE)
# Networks whose last layer is no Linear, or that train with further heads and change their input for their weights.
UNSUPPORTED = ("squeezenet1_0", "squeezenet1_1", "googlenet", "inception_v3")
_TORCHVISION_REGISTERED = re.compile(r"^@register_model\(\)\n(?:@.*\n)*def (\w+)\(", re.MULTILINE)


@dataclass(frozen=True)
class Pretrained:
    """Where published weights of a model are.

    Attributes:
        url: of one file, or "".
        repository: on the Hugging Face hub, or "".
        file: its name there; "" is open_clip's usual names.
    """

    url: str
    repository: str
    file: str

    @property
    def url_file(self) -> str:
        """The file's name at `url`, or ""."""
        return self.url.rsplit("/", 1)[-1]

    @property
    def url_sha256(self) -> str:
        """The hash that OpenAI's addresses carry, or ""."""
        parts = self.url.split("/")
        return parts[-2] if len(parts) > 1 and len(parts[-2]) == 64 else ""

    @property
    def hub_files(self) -> tuple[str, ...]:
        """What the file may be called on the hub, best first."""
        return (self.file,) if self.file else ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


def check_model(model: str) -> None:
    """Checks that open_clip has a model of this name with a text tower that prompts can be run through.

    Raises:
        ConfigError: if not.
    """
    reasons = _unfit(text_config(model))
    if reasons:
        problem = f"prompts cannot be run through its text tower: {'; '.join(reasons)}"
        raise ConfigError("backbone.model", model, problem)


def text_config(model: str) -> dict[str, Any]:
    """The text tower and the tokenizer in open_clip's configuration of a model.

    Raises:
        ConfigError: if open_clip has no such model.
    """
    return dict(_config(open_clip_folder(), model)["text_cfg"])


def patch_size(model: str) -> int | None:
    """Pixels of a patch's side of its image tower; None where that has none.

    Raises:
        ConfigError: if open_clip has no such model.
    """
    patch: int | None = _config(open_clip_folder(), model)["vision_cfg"].get("patch_size")
    return patch


@cache
def _config(folder: Path, model: str) -> dict[str, Any]:
    files = {path.stem: path for path in (folder / "model_configs").glob("*.json")}
    if model not in files:
        near = get_close_matches(model, files, n=4, cutoff=0.5)
        remedy = "names are in open_clip.list_models()"
        raise ConfigError(
            "backbone.model", model, "open_clip has no model of this name", allowed=", ".join(near), remedy=remedy
        )
    config: dict[str, Any] = json.loads(files[model].read_text(encoding="utf-8"))
    return config


def _unfit(text: dict[str, Any]) -> list[str]:
    """Why a text tower cannot be run from embeddings; none of open_clip 3.3's models has such a one."""
    reasons = []
    pool = text.get("pool_type", "argmax")
    if not text.get("hf_model_name"):
        if pool == "none":
            reasons.append("it gives a feature for each token (pool_type=none)")
        if pool == "argmax" and text.get("hf_tokenizer_name"):
            reasons.append(
                "it finds a sentence's end by the highest id, which is CLIP's tokenizer's (pool_type=argmax)"
            )
        if text.get("embed_cls") and text.get("no_causal_mask"):
            reasons.append("its class token is in a tower without a causal mask (embed_cls, no_causal_mask)")
    elif text.get("hf_pooler_type") == "max_pooler":
        reasons.append("open_clip's max_pooler keeps the padding and not the words")
    if text.get("tokenizer_mode"):
        reasons.append(f"its special tokens are put in by open_clip itself (tokenizer_mode={text['tokenizer_mode']})")
    return reasons


def open_clip_models() -> list[str]:
    """Names of all models."""
    return sorted(path.stem for path in (open_clip_folder() / "model_configs").glob("*.json"))


def pretrained_tags(model: str) -> dict[str, Pretrained]:
    """Tag → where its weights are, for a model's name as in open_clip, `-quickgelu` variants included."""
    table = _openclip_table()
    if model in table:
        return {tag: where for tag, (where, _) in table[model].items()}
    base = table.get(model.removesuffix("-quickgelu"), {}) if model.endswith("-quickgelu") else {}
    return {tag: where for tag, (where, quick_gelu) in base.items() if quick_gelu}


@cache
def _openclip_table() -> dict[str, dict[str, tuple[Pretrained, bool]]]:
    names: dict[str, ast.expr] = {}
    for node in ast.parse((open_clip_folder() / "pretrained.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            names.setdefault(node.targets[0].id, node.value)
    models = names["_PRETRAINED"]
    assert isinstance(models, ast.Dict)
    table = {}
    for key, value in zip(models.keys, models.values, strict=True):
        tags = names[value.id] if isinstance(value, ast.Name) else value
        assert isinstance(key, ast.Constant)
        assert isinstance(tags, ast.Call)
        table[str(key.value)] = {str(keyword.arg): _openclip_entry(keyword.value) for keyword in tags.keywords}
    return table


def _openclip_entry(call: ast.expr) -> tuple[Pretrained, bool]:
    """One `_pcfg(url=…, hf_hub="owner/name/file", quick_gelu=…)`; a hub address that ends in "/" names no file."""
    assert isinstance(call, ast.Call)
    given = _constant_keywords(call)
    repository, _, file = str(given.get("hf_hub", "")).rpartition("/")
    return Pretrained(str(given.get("url", "")), repository, file), bool(given.get("quick_gelu", False))


@dataclass(frozen=True)
class TimmWeights:
    """Where published weights of a model are.

    Attributes:
        url: of one file, or "".
        repository: on the Hugging Face hub, or "".
    """

    url: str
    repository: str

    @property
    def hub_files(self) -> tuple[str, ...]:
        """What the file may be called on the hub, best first."""
        return ("model.safetensors", "pytorch_model.bin") if self.repository else ()


@cache
def timm_models() -> dict[str, Path]:
    """Model → the source file that registers it."""
    return _registered_models("timm", _TIMM_REGISTERED)


def timm_tags(model: str) -> dict[str, TimmWeights]:
    """Tag → where its weights are; a tag is what follows the point in timm's `resnet50.a1_in1k`.

    A few that timm computes are not among them; such weights can be named by a path.

    Args:
        model: one of `timm_models`.
    """
    table = _timm_table(timm_models()[model])
    return {name.removeprefix(f"{model}."): where for name, where in table.items() if name.startswith(f"{model}.")}


@cache
def _timm_table(file: Path) -> dict[str, TimmWeights]:
    """Model and tag → where its weights are, of a source file's literal table."""
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    if any(isinstance(argument, ast.DictComp) for call in calls if _makes_table(call) for argument in call.args):
        return {}
    tables = [node for node in nodes if isinstance(node, ast.Dict)]
    found = {}
    for key, value in ((k, v) for table in tables for k, v in zip(table.keys, table.values, strict=True)):
        if isinstance(key, ast.Constant) and isinstance(value, ast.Call):
            name = str(key.value).removesuffix("*")
            where = _timm_entry(value, name)
            if where.url or where.repository:
                found[name] = where
    return found


def _makes_table(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Name) and call.func.id == "generate_default_cfgs"


def _timm_entry(call: ast.Call, name: str) -> TimmWeights:
    """One `_cfg(url=…, hf_hub_id=…)`; "timm/" alone means the repository with the weights' own name."""
    given = _constant_keywords(call)
    if call.args and isinstance(call.args[0], ast.Constant):
        given.setdefault("url", call.args[0].value)
    repository = str(given.get("hf_hub_id") or "")
    return TimmWeights(str(given.get("url") or ""), f"timm/{name}" if repository == "timm/" else repository)


@cache
def torchvision_models() -> dict[str, Path]:
    """Network → the source file that registers it."""
    return _registered_models("torchvision", _TORCHVISION_REGISTERED)


@cache
def torchvision_tags(model: str) -> dict[str, str]:
    """Tag → address of its file, for the weights whose layers are all trained; `DEFAULT` is among them.

    Args:
        model: one of `torchvision_models`.
    """
    body = ast.parse(torchvision_models()[model].read_text(encoding="utf-8")).body
    makers = {node.name: node for node in body if isinstance(node, ast.FunctionDef)}
    enums = {node.name: node for node in body if isinstance(node, ast.ClassDef)}
    # `def vgg16(*, weights: Optional[VGG16_Weights] = None, …)`
    annotations = {argument.arg: argument.annotation for argument in makers[model].args.kwonlyargs}
    named = [node.id for node in ast.walk(annotations["weights"] or ast.Pass()) if isinstance(node, ast.Name)]
    tags: dict[str, str] = {}
    for node in next(enums[name] for name in named if name in enums).body:
        if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
            continue
        if isinstance(node.value, ast.Name):
            tags[node.targets[0].id] = tags[node.value.id]
        elif isinstance(node.value, ast.Call):
            urls = [k.value.value for k in node.value.keywords if k.arg == "url" and isinstance(k.value, ast.Constant)]
            tags[node.targets[0].id] = str(urls[0])
    # Features without a classifier: what precedes the last layer is not a number.
    return {tag: url for tag, url in tags.items() if not tag.endswith("_FEATURES")}


def open_clip_folder() -> Path:
    """The folder of open_clip's sources."""
    return _package_folder("open_clip")


def _package_folder(library: str) -> Path:
    """The folder of an installed library, which is not imported.

    Raises:
        ModuleNotFoundError: if it is not installed.
    """
    spec = find_spec(library)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{library} is not installed")
    return Path(spec.origin).parent


def _registered_models(library: str, registered: re.Pattern[str]) -> dict[str, Path]:
    files = sorted((_package_folder(library) / "models").glob("*.py"))
    return {name: file for file in files for name in registered.findall(file.read_text(encoding="utf-8"))}


def _constant_keywords(call: ast.Call) -> dict[str | None, Any]:
    """Keyword arguments of a call that are literals."""
    return {keyword.arg: keyword.value.value for keyword in call.keywords if isinstance(keyword.value, ast.Constant)}
