from pathlib import Path

import pytest
import yaml

from ordinalclip.backbones.weights.paths import licence_of
from ordinalclip.config.compose import conf_dir


@pytest.mark.parametrize("file", sorted((conf_dir() / "backbone").glob("*.yaml")), ids=lambda file: file.stem)
def test_the_weights_of_every_backbone_that_is_offered_have_a_known_licence(file: Path) -> None:
    weights = yaml.safe_load(file.read_text(encoding="utf-8")).get("weights", {})
    sources = weights if isinstance(weights, dict) else {"all": weights}
    for part, source in sources.items():
        assert "not known" not in licence_of(source), (part, source)


def test_whose_weights_a_file_of_ones_own_has_is_not_guessed(tmp_path: Path) -> None:
    for source in (str(tmp_path / "openai.pt"), "openai/weights.pt", "./random.pth", "another_tag"):
        assert licence_of(source) == "not known here; see their makers' terms"
    assert "research" in licence_of("data/vgg_imdb_wiki.pth")
    assert licence_of("openai").startswith("MIT")
