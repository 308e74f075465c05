import itertools
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ordinalclip.datasets.folder import load_folder, natural, sort_names
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.errors import ConfigError, DataError
from ordinalclip.images.decoding import ENDINGS, read_rgb
from ordinalclip.inference.listing import list_images
from tests.datasets.made import write_image
from tests.datasets.made_sets import make_folder


def load(root: Path, **options: Any) -> Manifest:
    return load_folder(root=str(root), data_dir=root, cache_dir=root.parent / "cache", **options)


def by_path(made: Manifest, column: str) -> dict[str, Any]:
    return dict(zip(made.table["path"], made.table[column], strict=True))


def test_natural_order_is_by_number_and_told(tmp_path: Path) -> None:
    root = tmp_path / "set"
    make_folder(root, lambda rank, index: f"{rank}/{index}.png", ("10", "9", "2"), 2)
    made = load(root)
    assert made.rank_names == ("2", "9", "10")
    assert made.rank_values == (2, 9, 10)
    ranks = {"2/0.png": 0, "2/1.png": 0, "9/0.png": 1, "9/1.png": 1, "10/0.png": 2, "10/1.png": 2}
    assert by_path(made, "rank") == ranks
    assert by_path(made, "value")["10/1.png"] == 10
    assert made.table["split"].isna().all()
    assert made.notes == ("ranks in the natural order of their folders: 2 < 9 < 10; dataset.order=[…] sets another",)


@pytest.mark.parametrize(
    "ordered", [["-2", "-1", "0", "1.5", "2", "10"], ["1930s", "1940s"], ["age 4-6", "age 10-12"], ["a", "B", "c"]]
)
def test_natural(ordered: list[str]) -> None:
    for shuffled in itertools.islice(itertools.permutations(ordered), 50):
        assert sorted(shuffled, key=natural) == ordered


def test_words_are_warned_about_and_ordered(tmp_path: Path) -> None:
    root = tmp_path / "set"
    make_folder(root, lambda rank, index: f"{rank}/{index}.png", ("mild_npdr", "no_dr", "severe"), 1)
    guessed = load(root)
    assert guessed.rank_names == ("mild npdr", "no dr", "severe")
    assert guessed.notes[0].startswith("warning: ")
    made = load(root, order=["no_dr", "mild_npdr", "severe"], rank_values=[0, 1, 3], unit="grade")
    assert made.rank_names == ("no dr", "mild npdr", "severe")
    assert by_path(made, "rank") == {"mild_npdr/0.png": 1, "no_dr/0.png": 0, "severe/0.png": 2}
    assert (made.rank_values, made.unit, made.notes) == ((0, 1, 3), "grade", ())
    assert load(root, rank_names=["x", "y", "z"]).rank_names == ("x", "y", "z")


@pytest.mark.parametrize("above", [True, False])
def test_split_folders_above_or_below(tmp_path: Path, above: bool) -> None:
    root = tmp_path / "set"
    paths = {}
    for number, (folder, split) in enumerate((("Train", "train"), ("valid", "val"), ("test", "test"))):
        for rank in (1, 2):
            path = f"{folder}/{rank}/deep/er/{number}.png" if above else f"{rank}/{folder}/{number}.png"
            write_image(root / path, number * 10 + rank)
            paths[path] = (split, rank - 1)
    made = load(root)
    assert by_path(made, "split") == {path: split for path, (split, _) in paths.items()}
    assert by_path(made, "rank") == {path: rank for path, (_, rank) in paths.items()}


def test_what_is_no_image_of_a_rank_is_told(tmp_path: Path) -> None:
    root = tmp_path / "set"
    make_folder(root, lambda rank, index: f"{rank}/{index}.JPG", ("1", "2"), 2)
    write_image(root / "loose.png", 77)
    (root / "1" / "notes.txt").write_text("x")
    (root / ".DS_Store").write_text("x")
    (root / "2" / ".hidden.png").write_text("x")
    (root / "3").symlink_to(root / "1", target_is_directory=True)
    made = load(root)
    assert made.num_ranks == 2
    assert len(made.table) == 4
    assert made.notes[:2] == (
        "skipped 1 images beside the ranks' folders: loose.png",
        "skipped 2 files that are not images: 3 (a link), 1/notes.txt",
    )


def test_subjects(tmp_path: Path) -> None:
    root = tmp_path / "set"
    make_folder(root, lambda rank, index: f"{rank}/p{index}_{rank}.png", ("1", "2"), 2)
    subjects = {"1/p0_1.png": "p0", "1/p1_1.png": "p1", "2/p0_2.png": "p0", "2/p1_2.png": "p1"}
    assert by_path(load(root, subject="/([^/]+)_"), "subject") == subjects
    for wrong in ("/q(.)", "(", "p0"):
        with pytest.raises(ConfigError) as caught:
            load(root, subject=wrong)
        assert caught.value.key == "dataset.subject"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"order": ["1", "2"]}, "10 is a folder with images and is missing"),
        ({"order": ["1", "2", "10", "3"]}, "3 is not a folder with images"),
        ({"order": ["1", "2", "10", "1"]}, "1 occurs 2 times"),
        ({"rank_names": ["a"]}, "1 for the 3 folders 1 < 2 < 10"),
        ({"rank_values": [1, 2]}, "2 for the 3 folders"),
    ],
)
def test_settings_that_do_not_fit(tmp_path: Path, options: dict[str, Any], told: str) -> None:
    root = tmp_path / "set"
    make_folder(root, lambda rank, index: f"{rank}/{index}.png", ("1", "2", "10"), 1)
    with pytest.raises(ConfigError, match=told) as caught:
        load(root, **options)
    assert caught.value.key == f"dataset.{next(iter(options))}"


def test_folders_that_are_none(tmp_path: Path) -> None:
    root = tmp_path / "set"
    root.mkdir()
    with pytest.raises(ConfigError, match="needs the folder"):
        load_folder(root=None, data_dir=root, cache_dir=root)
    with pytest.raises(ConfigError, match="there is no folder"):
        load(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=r"no folder with images in .* which holds nothing"):
        load(root)
    write_image(root / "1" / "a.png")
    with pytest.raises(ConfigError, match="in a single folder: 1"):
        load(root)
    write_image(root / "2" / "train" / "a.png", 1)
    with pytest.raises(DataError, match=r"1 of 2 images are not in a split's folder, while others are:\n  1/a.png"):
        load(root)


def test_links_out_of_it_need_a_word(tmp_path: Path) -> None:
    root = tmp_path / "set"
    make_folder(root, lambda rank, index: f"{rank}/{index}.png", ("1", "2"), 1)
    (root / "1" / "9.png").symlink_to(write_image(tmp_path / "other" / "9.png", 5))
    with pytest.raises(DataError, match=r"1 of 3 paths lead out of this folder:\n  1/9.png"):
        load(root)
    assert len(load(root, allow_outside=True).table) == 3


def test_a_rank_without_images_is_an_error_or_kept(tmp_path: Path) -> None:
    root = tmp_path / "set"
    make_folder(root, lambda rank, index: f"{rank}/{index}.png", ("1", "2", "4"), 2)
    (root / "3").mkdir()
    (root / "5").mkdir()
    (root / "5" / "a.heic").write_bytes(b"x")
    with pytest.raises(
        DataError, match=r"2 folders of ranks have no image:\n  3: empty\n  5: 1 files(.|\n)*\.heic"
    ) as caught:
        load(root)
    assert all(word in str(caught.value) for word in (".gif", ".jfif", "dataset.allow_empty=true"))
    made = load(root, allow_empty=True)
    assert (made.rank_values, sorted(set(made.table["rank"]))) == ((1, 2, 3, 4, 5), [0, 1, 3])
    assert load(root, order=["1", "2", "4"]).rank_values == (1, 2, 4)
    with pytest.raises(DataError, match="3: empty"):
        load(root, order=["1", "2", "3", "4"])
    assert load(root, order=["1", "2", "3", "4"], allow_empty=True).num_ranks == 4


def test_an_empty_folder_of_a_split_is_no_loss_but_one_that_is_not_read_is(tmp_path: Path) -> None:
    root = tmp_path / "set"
    make_folder(root, lambda rank, index: f"train/{rank}/{index}.png", ("1", "2"), 2)
    for place in ("test/2", "__MACOSX/1", ".cache"):
        (root / place).mkdir(parents=True)
    assert load(root).num_ranks == 2
    (root / "test" / "2" / "a.raw").write_bytes(b"x")
    with pytest.raises(DataError, match=r"test/2: 1 files, none of which is read: \.raw"):
        load(root)


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_format_that_prediction_reads_is_found_in_folders(tmp_path: Path, ending: str) -> None:
    root = tmp_path / "set"
    kind = Image.registered_extensions()[ending]
    for rank in (1, 2):
        (root / str(rank)).mkdir(parents=True)
        image = Image.new("1" if ending == ".pbm" else "RGB", (8, 8), rank % 2)
        image.save(root / str(rank) / f"a{ending.upper()}", format=kind)
    paths = sorted(str(root / path) for path in load(root).table["path"])
    assert paths == list(list_images(str(root)))
    assert [read_rgb(path).size for path in paths] == [(8, 8)] * 2


@pytest.mark.parametrize(
    "ordered",
    [
        ["<5", "5-10", "10-20", "20+"],
        ["under_5", "5-17", "18-64", "65-84", "85 and over"],
        ["age <5", "age 5-10", "age >10"],
        ["500-1,000", "1,000-5,000", "over 5,000"],
        ["less than 2 mm", "2 to 4 mm", "4 mm or more"],
        ["5 or less", "6-10", "11 or more"],
        [".5", "1", "1.5"],
        ["-10 to -5", "-5 to 0", "0 to 5"],
        ["<5", "<10", "10+"],
        ["I", "II", "III", "IV", "V", "VIII", "IX", "X"],
        ["Stage IV", "Stage V", "Stage IX"],
        ["-2", "-1", "0", "1.5", "2", "10"],
        ["1930s", "1940s"],
        ["age 4-6", "age 10-12"],
        ["0-2", "4-6", "8-13", "60-"],
    ],
)
def test_ranges_and_numerals_are_sorted_without_a_warning(ordered: list[str]) -> None:
    for shuffled in itertools.islice(itertools.permutations(ordered), 50):
        names, note = sort_names(shuffled)
        assert names == ordered
        assert note.startswith("ranks in the ")
        assert note.endswith(f": {' < '.join(ordered)}")


@pytest.mark.parametrize(
    "names",
    [
        ["mild", "moderate", "severe"],
        ["A", "A+", "A-"],
        ["low", "medium", "high"],
        ["baby 0-1", "adult 18-64", "child 2-17"],
        ["jan 2020", "feb 2020"],
        ["T1", "T1a", "T1-x"],
    ],
)
def test_an_order_that_may_be_wrong_is_natural_and_warned_about(names: list[str]) -> None:
    ordered, note = sort_names(names)
    assert ordered == sorted(names, key=natural)
    assert note.startswith(f"warning: ranks in the natural order of their folders: {' < '.join(ordered)}; ")
    assert note.endswith("so check that it is intended")
