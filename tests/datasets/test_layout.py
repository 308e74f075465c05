import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ordinalclip.datasets.bad_rows import refuse
from ordinalclip.datasets.layout import (
    Source,
    check_inside,
    check_list,
    find_root,
    found_paths,
    nearest_names,
    require_files,
    unlike_published,
)
from ordinalclip.datasets.layouts.adience import load_adience
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.datasets.table import load_table
from ordinalclip.errors import ConfigError, DataError
from tests.datasets.made import write_image
from tests.datasets.made_ages import make_adience

NEEDS = ("list.csv", "fold_*.txt", "aligned|faces")


def make_set(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).mkdir() if name.endswith("/") else (folder / name).touch()
    return folder


def find(root: Path | str, needs: Sequence[str] = NEEDS, **options: Any) -> Source:
    return find_root(str(root), Path("cache"), name="x", needs=needs, **options)


def test_a_whole_set_is_found(tmp_path: Path) -> None:
    folder = make_set(tmp_path / "set", "list.csv", "fold_0.txt", "faces/")
    assert find(folder).root == folder
    assert find(os.path.relpath(folder)).root.is_absolute()


def test_a_wrong_root(tmp_path: Path) -> None:
    whole = make_set(tmp_path / "up" / "set", "list.csv", "fold_0.txt", "aligned/")
    with pytest.raises(ConfigError, match="is no folder") as caught:
        find(tmp_path / "none", obtain="ask them")
    assert caught.value.remedy == "ask them"
    assert "fold_*.txt" in caught.value.allowed
    with pytest.raises(ConfigError, match="is a file"):
        find(whole / "list.csv")
    for wrong in (whole.parent, whole / "aligned"):  # one too high, one too low
        with pytest.raises(ConfigError, match="but in") as caught:
            find(wrong)
        assert caught.value.remedy == f"dataset.root={whole}"
    other = make_set(tmp_path / "other", *(f"{letter}.png" for letter in "abcdefghij"), "k/")
    with pytest.raises(ConfigError, match=r"is not x: it holds a\.png, .*h\.png … and 3 more"):
        find(other)


def test_half_a_copy(tmp_path: Path) -> None:
    folder = make_set(tmp_path / "set", "list.csv")
    with pytest.raises(DataError, match=r"half of x; there is no fold_\*\.txt and no aligned\|faces") as caught:
        find(folder, obtain="ask them")
    assert "it holds list.csv" in str(caught.value)
    assert str(caught.value).endswith("unpack the rest; ask them")


def test_missing_files_are_told_at_once(tmp_path: Path) -> None:
    make_set(tmp_path / "a", "0.png", "1.png")
    require_files(tmp_path, ["a/0.png", "a/1.png"], what="images")
    with pytest.raises(DataError) as caught:
        require_files(tmp_path, [f"a/{number}.png" for number in range(40)], what="images that l.txt names")
    told = str(caught.value)
    assert "38 of 40 images that l.txt names are not there" in told
    assert "\n  a/2.png\n" in told
    assert "a/22.png" not in told
    assert "… and 18 more" in told
    assert "holds 0.png, 1.png" in told
    assert "half copied" in told
    with pytest.raises(DataError, match=r"2 of 2 images(.|\n)*no folder .*b\n(.|\n)*right folder"):
        require_files(tmp_path, ["b/0.png", "b/1.png"], what="images")


def test_nothing_outside_is_read(tmp_path: Path) -> None:
    root = make_set(tmp_path / "set", "sub/", "a.png")
    outside = make_set(tmp_path / "set2", "b.png")
    (root / "linked").symlink_to(outside)
    (root / "b.png").symlink_to(outside / "b.png")
    (root / "within.png").symlink_to(root / "a.png")
    (tmp_path / "alias").symlink_to(root)
    fine = ["a.png", "sub/../a.png", "within.png", "not/there.png", str(root / "a.png")]
    check_inside(root, fine)
    check_inside(tmp_path / "alias", fine)  # the folder itself may be a link
    for path in ("../set2/b.png", "sub/../../set2/b.png", "linked/b.png", "b.png", str(outside / "b.png"), ".."):
        with pytest.raises(DataError, match=r"1 of 2 paths lead out(.|\n)*allow_outside=true") as caught:
            check_inside(root, ["a.png", path])
        assert f"  {path} → {tmp_path}" in str(caught.value)
        check_inside(root, ["a.png", path], allow_outside=True)


def test_a_list_that_lies_elsewhere_by_a_link(tmp_path: Path) -> None:
    root = make_set(tmp_path / "set", "aligned/", "fold_0.txt")
    (tmp_path / "list.csv").touch()
    (root / "list.csv").symlink_to(tmp_path / "list.csv")
    with pytest.raises(DataError, match=r"1 of 1 paths lead out of this folder:\n  list\.csv → .*list\.csv"):
        find(root)
    assert find(root, allow_outside=True).root == root
    source = find(root, needs=["fold_0.txt"])
    for typed in ("../list.csv", str(tmp_path / "list.csv")):  # who types such a name means it
        check_list(source, typed)
        find(root, needs=[typed])


def test_a_table_may_be_allowed_to_lead_out(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", 0)
    write_image(tmp_path / "set" / "b.png", 1)
    (tmp_path / "set" / "t.csv").write_text("path,rank\n../a.png,0\nb.png,1\n")

    def load(**options: Any) -> Manifest:
        return load_table(path=str(tmp_path / "set" / "t.csv"), data_dir=tmp_path, cache_dir=tmp_path, **options)

    with pytest.raises(DataError, match="1 of 2 paths lead out"):
        load()
    assert len(load(allow_outside=True).table) == 2
    assert len(load(root=str(tmp_path / "set"), allow_outside=True).table) == 2


def test_refusing() -> None:
    refuse("x", [], "are wrong", remedy="mend them")
    with pytest.raises(DataError, match=r"^x: 2 lines are wrong:\n  a\n  b\n  what to do: mend them$"):
        refuse("x", ["a", "b"], "lines are wrong", remedy="mend them")


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


COMPOSED, DECOMPOSED = "Zo\u00e9", "Zoe\u0301"


@pytest.mark.parametrize(("written", "there"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
def test_names_in_another_unicode_form_and_backslashes_are_found(tmp_path: Path, written: str, there: str) -> None:
    make_set(tmp_path / there, f"{there}_1.png")
    for path in (f"{written}/{written}_1.png", f"{written}\\{there}_1.png", f".\\{there}\\{written}_1.png"):
        assert found_paths(tmp_path, [path, "absent.png"]) == [f"{there}/{there}_1.png", "absent.png"]
    require_files(tmp_path, [f"{written}\\{written}_1.png"], what="images")


def test_a_file_that_has_the_name_as_written_is_taken(tmp_path: Path) -> None:
    make_set(tmp_path, f"{COMPOSED}.png", f"{DECOMPOSED}.png", "a\\b.png")
    make_set(tmp_path / "a", "b.png")
    paths = [f"{COMPOSED}.png", f"{DECOMPOSED}.png", "a\\b.png", "a/b.png"]
    assert found_paths(tmp_path, paths) == paths


def test_the_nearest_names_are_shown(tmp_path: Path) -> None:
    make_set(tmp_path / "img", "P01.PNG", "P02.PNG", "portrait.jpg", "u.jpg")
    paths = [
        "img/p01.png",
        "img/P02",
        "img/P01.PNG  ",
        "IMG/P02.jpg",
        "img/portrit.jpg",
        "img/P03.PNG",
        "else/x.png",
        "img/o.jpg",
    ]
    nearest = ["img/P01.PNG", "img/P02.PNG", "img/P01.PNG", "img/P02.PNG", "img/portrait.jpg", None, None, None]
    assert nearest_names(tmp_path, paths) == [f" (there is {name})" if name else "" for name in nearest]
    with pytest.raises(DataError, match=r"img/p01\.png \(there is img/P01\.PNG\)\n(.|\n)*as the files have them"):
        require_files(tmp_path, ["img/p01.png"], what="images")
