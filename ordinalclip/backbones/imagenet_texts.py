"""What dictionaries say about ImageNet's classes: sentences to fit a text projection with, no image needed."""

from dataclasses import dataclass

KINDS = ("photo", "plain", "definition")


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
