from pathlib import Path

from ordinalclip.datasets.layout import unlike_published
from ordinalclip.datasets.layouts.adience import load_adience
from tests.datasets.made_adience import make_adience

OF_ABC = "900150983cd24fb0d6963f7d28e17f72"  # RFC 1321


def test_lists_are_compared_by_name(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.txt", "b.txt", "c.txt")]
    for file in files:
        file.write_text("abc")
    assert unlike_published(files, {"a.txt": OF_ABC, "b.txt": OF_ABC, "d.txt": OF_ABC}) == []
    files[1].write_text("abc\r")
    notes = unlike_published(files, {"a.txt": OF_ABC, "b.txt": OF_ABC})
    assert notes == ["1 of 2 lists are not what was published, by their MD5: b.txt"]


def test_adience_tells_it_and_is_read(tmp_path: Path) -> None:
    make_adience(tmp_path / "adience")
    md5 = {f"fold_{fold}_data.txt": OF_ABC for fold in range(5)}
    manifest = load_adience(root=str(tmp_path / "adience"), md5=md5, data_dir=tmp_path, cache_dir=tmp_path)
    assert manifest.notes[0].startswith("5 of 5 lists are not what was published, by their MD5: fold_0_data.txt, ")
    assert len(manifest.table) == 120
