"""What timm knows about its models and their weights, read from its sources: importing it takes seconds."""

import ast
import re
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

_REGISTERED = re.compile(r"^@register_model\s*\ndef (\w+)\(", re.MULTILINE)


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
    spec = find_spec("timm")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("timm is not installed")
    files = sorted((Path(spec.origin).parent / "models").glob("*.py"))
    return {name: file for file in files for name in _REGISTERED.findall(file.read_text(encoding="utf-8"))}


def timm_tags(model: str) -> dict[str, TimmWeights]:
    """Tag → where its weights are; a tag is what stands behind the point in timm's `resnet50.a1_in1k`.

    A few that timm computes are not among them; such weights can be named by a path.

    Args:
        model: one of `timm_models`.
    """
    table = _table(timm_models()[model])
    return {name.removeprefix(f"{model}."): where for name, where in table.items() if name.startswith(f"{model}.")}


@cache
def _table(file: Path) -> dict[str, TimmWeights]:
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
            where = _entry(value, name)
            if where.url or where.repository:
                found[name] = where
    return found


def _makes_table(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Name) and call.func.id == "generate_default_cfgs"


def _entry(call: ast.Call, name: str) -> TimmWeights:
    """One `_cfg(url=…, hf_hub_id=…)`; "timm/" alone stands for the repository of the weights' own name."""
    given = {keyword.arg: keyword.value.value for keyword in call.keywords if isinstance(keyword.value, ast.Constant)}
    if call.args and isinstance(call.args[0], ast.Constant):
        given.setdefault("url", call.args[0].value)
    repository = str(given.get("hf_hub_id") or "")
    return TimmWeights(str(given.get("url") or ""), f"timm/{name}" if repository == "timm/" else repository)
