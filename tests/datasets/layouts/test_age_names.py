"""UTKFace, AgeDB, AFAD and FG-NET: sets whose labels stand in the names of their images."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ordinalclip.datasets.layouts.afad import load_afad
from ordinalclip.datasets.layouts.agedb import load_agedb
from ordinalclip.datasets.layouts.fgnet import load_fgnet
from ordinalclip.datasets.layouts.utkface import load_utkface
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.datasets.splits import holdout
from ordinalclip.errors import ConfigError, DataError
from tests.datasets.made import write_image
from tests.datasets.made_ages import make_names, write_images


def load(loader: Callable[..., Manifest], root: Path, **options: object) -> Manifest:
    return loader(root=str(root), obtain="see its page", data_dir=root, cache_dir=root.parent / "cache", **options)


def test_utkface_cropped_with_its_three_malformed_names(tmp_path: Path) -> None:
    root = tmp_path / "u"
    names = [
        "100_1_0_20170112213500903.jpg.chip.jpg",
        "1_0_4_20161219140623097.JPG.chip.jpg",
        "39_1_20170116174525125.jpg.chip.jpg",
        "61_1_20170109142408075.jpg.chip.jpg",
        "61_1_20170109150557335.jpg.chip.jpg",
    ]
    write_images(root, [f"UTKFace/{name}" for name in names])
    manifest = load(load_utkface, root)
    table = manifest.table
    assert table["path"].tolist() == [f"UTKFace/{name}" for name in sorted(names)]
    assert table["rank"].tolist() == [100, 1, 39, 61, 61]
    assert table["sex"].tolist() == ["female", "male", "male", "female", "female"]
    assert table["ancestry"].tolist() == ["white", "other", "black", "black", "indian"]
    assert table["subject"].isna().all()
    assert manifest.num_ranks == 117
    assert manifest.notes == (
        "read 3 malformed names of UTKFace: UTKFace/39_1_20170116174525125.jpg.chip.jpg as "
        "39_0_1_20170116174525125.jpg.chip.jpg, UTKFace/61_1_20170109142408075.jpg.chip.jpg as "
        "61_1_1_20170109142408075.jpg.chip.jpg, UTKFace/61_1_20170109150557335.jpg.chip.jpg as "
        "61_1_3_20170109150557335.jpg.chip.jpg",
    )


def test_utkface_in_the_wild_with_its_four_malformed_names(tmp_path: Path) -> None:
    root = tmp_path / "u"
    bad = [
        "part1/61_1_20170109142408075.jpg",
        "part1/61_3_20170109150557335.jpg",
        "part2/39_1_20170116174525125.jpg",
        "part2/53__0_20170116184028385.jpg",
    ]
    write_images(root, [*bad, "part3/25_0_2_20170116174525125.jpg"])
    manifest = load(load_utkface, root, images="wild")
    rows = manifest.table[["path", "value", "sex", "ancestry"]].to_numpy().tolist()
    assert rows == [
        [bad[0], 61, "female", "black"],
        [bad[1], 61, "female", "indian"],
        [bad[2], 39, "male", "black"],
        [bad[3], 53, "female", "white"],
        ["part3/25_0_2_20170116174525125.jpg", 25, "male", "asian"],
    ]
    assert "read 4 malformed names" in manifest.notes[0]
    write_image(root / "part3/25_0_20170116174525126.jpg")
    with pytest.raises(
        DataError, match=r"1 images whose names are not of the form <age>_<sex[\s\S]*part3/25_0_20170116174525126.jpg"
    ):
        load(load_utkface, root, images="wild")
    assert len(load(load_utkface, root, images="wild", on_error="skip").table) == 5


@pytest.mark.parametrize(("images", "place", "crop"), [("cropped", "UTKFace", ".chip.jpg"), ("wild", "part3", "")])
def test_utkface_names_with_an_odd_end(tmp_path: Path, images: str, place: str, crop: str) -> None:
    root = tmp_path / "u"
    odd = ("24_0_1_20170116220224657 .jpg", "44_1_4_20170116235150272.pg", "55_0_0_20170116232725357jpg")
    picture = write_image(root / place / f"25_0_2_20170116174525125.jpg{crop}")
    for part in ("part1", "part2"):
        write_image(root / part / f"30_1_0_2017011617452512{part[-1]}.jpg")
    for index, name in enumerate(odd):
        (root / place / f"{name}{crop}").write_bytes(picture.read_bytes() + bytes(index + 1))  # still that image
    table = load(load_utkface, root, images=images).table
    found = table[table["path"].str.startswith(place)][["path", "value", "sex", "ancestry"]].to_numpy().tolist()
    assert found == [
        [f"{place}/{odd[0]}{crop}", 24, "male", "black"],
        [f"{place}/25_0_2_20170116174525125.jpg{crop}", 25, "male", "asian"],
        [f"{place}/{odd[1]}{crop}", 44, "female", "other"],
        [f"{place}/{odd[2]}{crop}", 55, "male", "white"],
    ]


def test_utkface_subset_of_coral(tmp_path: Path) -> None:
    write_images(tmp_path / "u", [f"UTKFace/{age}_0_0_20170109142408075.jpg.chip.jpg" for age in (20, 21, 60, 61)])
    manifest = load(load_utkface, tmp_path / "u", first_age=21, last_age=60, outside="leave_out")
    assert manifest.table["rank"].tolist() == [0, 39]
    assert (manifest.num_ranks, manifest.rank_names[0]) == (40, "21")
    assert "left out 2 of 4: ages outside 21…60" in manifest.notes[0]
    with pytest.raises(ConfigError, match=r"dataset.last_age=20: does not follow dataset.first_age=21"):
        load(load_utkface, tmp_path / "u", first_age=21, last_age=20)


def test_utkface_by_the_lists_of_coral(tmp_path: Path) -> None:
    root, stems = tmp_path / "u", [f"{age}_0_0_20170109142408{age:03d}" for age in (20, 21, 30, 60)]
    write_images(root, [f"UTKFace/{stem}.jpg.chip.jpg" for stem in stems])
    for part, chosen in (("train", stems[1:3]), ("test", stems[3:])):
        rows = [f"{7 * index},{stem}.jpg,{stem[:2]},utk" for index, stem in enumerate(chosen)]
        (root / f"UTK_{part}_coral.csv").write_text("\n".join([",filename,age,database", *rows]) + "\n")
    manifest = load(load_utkface, root, coral=".", first_age=21, last_age=60)
    assert manifest.table[["rank", "split"]].to_numpy().tolist() == [[0, "train"], [9, "train"], [39, "test"]]
    assert manifest.notes == ("the 3 of 4 images of UTKFace that CORAL's lists name",)
    (root / "UTKFace" / f"{stems[1]}.jpg.chip.jpg").unlink()
    with pytest.raises(DataError, match=rf"UTK_train_coral.csv: 1 images of the list are not there:\n  {stems[1]}"):
        load(load_utkface, root, coral=".")
    assert len(load(load_utkface, root, coral=".", on_error="skip").table) == 2
    (root / "UTK_train_coral.csv").write_bytes((root / "UTK_test_coral.csv").read_bytes())
    with pytest.raises(DataError, match=r"UTK_test_coral.csv: 1 images are in the other list, too"):
        load(load_utkface, root, coral=".")
    with pytest.raises(ConfigError, match=r"dataset.coral=[\s\S]*there is no list"):
        load(load_utkface, root, coral="none")


def test_half_of_utkface(tmp_path: Path) -> None:
    write_image(tmp_path / "u" / "part1" / "25_0_2_20170116174525125.jpg")
    with pytest.raises(
        DataError, match=r"half of UTKFace \(wild\); there is no part2/ and no part3/[\s\S]*see its page"
    ):
        load(load_utkface, tmp_path / "u", images="wild")
    (tmp_path / "empty" / "UTKFace").mkdir(parents=True)
    with pytest.raises(DataError, match="UTKFace: holds no image"):
        load(load_utkface, tmp_path / "empty")


def test_agedb(tmp_path: Path) -> None:
    root = tmp_path / "a"
    write_images(
        root, ["0_MariaCallas_35_f.jpg", "1_MariaCallas_40_f.jpg", "9_JohnvanNeumann_101_m.JPG", "10_Some_One_1_M.jpg"]
    )
    write_image(root / "._0_MariaCallas_35_f.jpg")  # macOS leaves these in archives
    table = load(load_agedb, root).table
    rows = {path: tuple(row) for path, *row in table[["path", "value", "rank", "subject", "sex"]].to_numpy().tolist()}
    assert rows == {
        "0_MariaCallas_35_f.jpg": (35, 34, "MariaCallas", "female"),
        "1_MariaCallas_40_f.jpg": (40, 39, "MariaCallas", "female"),
        "9_JohnvanNeumann_101_m.JPG": (101, 100, "JohnvanNeumann", "male"),
        "10_Some_One_1_M.jpg": (1, 0, "Some_One", "male"),
    }


def test_afad(tmp_path: Path) -> None:
    root = tmp_path / "AFAD-Full"
    write_images(root, ["15/111/109-0.jpg", "15/112/110-1.jpg", "72/112/110-0.jpg"])
    table = load(load_afad, root).table
    assert table[["rank", "sex", "subject"]].to_numpy().tolist() == [
        [0, "male", "109"],
        [0, "female", "110"],
        [57, "female", "110"],
    ]
    with pytest.raises(ConfigError, match=rf"is not there, but in {root}"):
        load(load_afad, tmp_path)
    write_images(root, ["20/113/111-0.jpg"])
    with pytest.raises(DataError, match=r"1 images whose names are not of the form[\s\S]*20/113/111-0.jpg"):
        load(load_afad, root)


def test_fgnet(tmp_path: Path) -> None:
    root = tmp_path / "FGNET"
    write_images(root, ["images/001A02.JPG", "images/001A43a.JPG", "images/082a18B.jpg", "images/010A00.JPG"])
    (root / "points").mkdir()
    (root / "points" / "001a02.pts").write_text("version: 1")
    table = load(load_fgnet, root).table
    rows = {path: tuple(row) for path, *row in table[["path", "rank", "subject"]].to_numpy().tolist()}
    assert rows == {
        "images/001A02.JPG": (2, "001"),
        "images/001A43a.JPG": (43, "001"),
        "images/082a18B.jpg": (18, "082"),
        "images/010A00.JPG": (0, "010"),
    }


@pytest.mark.parametrize(("loader", "folder"), [(load_agedb, "AgeDB"), (load_afad, "AFAD-Full"), (load_fgnet, "FGNET")])
def test_people_stay_whole_by_default(tmp_path: Path, loader: Callable[..., Manifest], folder: str) -> None:
    make_names(tmp_path)
    table = holdout(load(loader, tmp_path / folder)).table
    assert set(table["split"]) == {"train", "val", "test"}
    assert table["subject"].nunique() < len(table) / 1.5
    assert table.groupby("subject")["split"].nunique().eq(1).all()


def test_a_link_to_a_folder_is_passed_over_and_told(tmp_path: Path) -> None:
    write_images(tmp_path / "elsewhere", ["112/110-0.jpg"])
    write_images(tmp_path / "a", ["15/111/109-0.jpg", "16/111/109-1.jpg"])
    (tmp_path / "a" / "17").symlink_to(tmp_path / "elsewhere")
    manifest = load(load_afad, tmp_path / "a")
    assert len(manifest.table) == 2
    assert manifest.notes == ("warning: 1 links to folders are not followed: 17",)


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    outside = write_image(tmp_path / "elsewhere" / "x.jpg")
    write_images(tmp_path / "a", ["0_MariaCallas_35_f.jpg"])
    (tmp_path / "a" / "1_MariaCallas_36_f.jpg").symlink_to(outside)
    with pytest.raises(DataError, match=r"1 of 2 paths lead out of this folder:\n  1_MariaCallas_36_f.jpg"):
        load(load_agedb, tmp_path / "a")
    assert len(load(load_agedb, tmp_path / "a", allow_outside=True).table) == 2
