"""What torchvision knows about its classification networks and their weights, read from its sources without torch."""

import ast
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

# Networks whose last layer is no Linear, or that train with further heads and change their input for their weights.
UNFIT = ("squeezenet1_0", "squeezenet1_1", "googlenet", "inception_v3")
_REGISTERED = re.compile(r"^@register_model\(\)\n(?:@.*\n)*def (\w+)\(", re.MULTILINE)


@cache
def torchvision_models() -> dict[str, Path]:
    """Network → the source file that registers it."""
    spec = find_spec("torchvision")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("torchvision is not installed")
    files = sorted((Path(spec.origin).parent / "models").glob("*.py"))
    return {name: file for file in files for name in _REGISTERED.findall(file.read_text(encoding="utf-8"))}


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
    # Features without a classifier: what stands before the last layer is not a number.
    return {tag: url for tag, url in tags.items() if not tag.endswith("_FEATURES")}
