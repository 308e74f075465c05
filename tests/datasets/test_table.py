import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ordinalclip.datasets.splits import holdout
from ordinalclip.datasets.table import load_table, save_table
from ordinalclip.errors import ConfigError, DataError
from tests.datasets.made import write_image, write_table

PATHS = ["a.png", "b.png", "c.png", "d.png"]


def load(tmp_path, columns=None, name="my.csv", **options):
    if columns is not None:
        write_table(tmp_path, {"path": PATHS, **columns}, name)
    options.setdefault("path", str(tmp_path / name))
    return load_table(data_dir=tmp_path / "data", cache_dir=tmp_path / "cache", **options)


@pytest.mark.parametrize("name", ["my.csv", "my.tsv", "my.parquet"])
def test_grades_from_one_just_work(tmp_path, name):
    manifest = load(tmp_path, {"rank": [1, 2, 3, 2]}, name)
    assert manifest.table["rank"].tolist() == [0, 1, 2, 1]
    assert manifest.table["value"].tolist() == [1.0, 2.0, 3.0, 2.0]
    assert manifest.rank_names == ("1", "2", "3")
    assert manifest.rank_values == (1.0, 2.0, 3.0)
    assert manifest.notes == (f"ranks 1…3 of {name} were shifted to 0…2",)
    assert manifest.name == "my"


def test_ranks_from_zero_need_no_note(tmp_path):
    assert load(tmp_path, {"rank": [0, 1, 2, 2]}).notes == ()


def test_values_span_min_to_max_if_empty_ranks_are_allowed(tmp_path):
    columns = {"value": [20, 23, 21, 20]}
    with pytest.raises(ConfigError, match=r"allow_empty=False: 1 of 4 ranks have no image in my.csv: 22"):
        load(tmp_path, columns)
    manifest = load(tmp_path, columns, allow_empty=True)
    assert manifest.rank_names == ("20", "21", "22", "23")
    assert manifest.table["rank"].tolist() == [0, 3, 1, 0]
    assert manifest.table["value"].tolist() == [20.0, 23.0, 21.0, 20.0]
    assert manifest.notes == ()


def test_gaps_between_ranks_need_allowing_too(tmp_path):
    with pytest.raises(ConfigError, match="allow_empty"):
        load(tmp_path, {"rank": [0, 1, 3, 3]})


def test_values_with_decimals_need_bins(tmp_path):
    with pytest.raises(ConfigError, match=r"dataset.bins=None.*1.5"):
        load(tmp_path, {"value": [1, 1.5, 2, 3]})


def test_bins_by_edges_are_closed_below_and_the_last_one_above(tmp_path):
    manifest = load(tmp_path, {"value": [0, 2.5, 9.9, 10]}, bins=[0, 2.5, 5, 10], allow_empty=True)
    assert manifest.table["rank"].tolist() == [0, 1, 2, 2]
    assert manifest.table["value"].tolist() == [0.0, 2.5, 9.9, 10.0]
    assert manifest.rank_names == ("0 to 2.5", "2.5 to 5", "5 to 10")
    assert manifest.rank_values == (1.25, 3.75, 7.5)
    assert "cut into 3 ranks at 0, 2.5, 5, 10" in manifest.notes[0]


def test_open_bins(tmp_path):
    manifest = load(tmp_path, {"value": [-4, 1, 3, 8.5]}, bins=[-np.inf, 0, 2, np.inf])
    assert manifest.table["rank"].tolist() == [0, 1, 2, 2]
    assert manifest.rank_names == ("below 0", "0 to 2", "2 or more")
    assert manifest.rank_values == (-2.0, 1.0, 5.25)


@pytest.mark.parametrize(
    ("bins", "names"),
    [
        ([1930, 1940, 1950], ["1930 to 1940", "1940 to 1950"]),
        ([0, 1500, 250000], ["0 to 1500", "1500 to 250000"]),
        ([0, 500_000, 1_000_000, np.inf], ["0 to 500,000", "500,000 to 1,000,000", "1,000,000 or more"]),
        ([0, 1234567, 1234568, 9e6], ["0 to 1,234,567", "1,234,567 to 1,234,568", "1,234,568 to 9,000,000"]),
        ([0, 1e-5, 2e-5], ["0 to 0.00001", "0.00001 to 0.00002"]),
        ([1.0000001, 1.0000002, 3], ["1.0000001 to 1.0000002", "1.0000002 to 3"]),
        ([1e6, 1e6 + 0.5, 1e6 + 1], ["1000000 to 1000000.5", "1000000.5 to 1000001"]),
        (["-.inf", 0, ".inf"], ["below 0", "0 or more"]),
        (["-inf", 0, "inf"], ["below 0", "0 or more"]),
    ],
)
def test_names_of_bins_are_readable_and_distinct(tmp_path, bins, names):
    numbers = [float(str(edge).replace(".inf", "inf")) for edge in bins]
    values = [0.5 * (low + high) for low, high in itertools.pairwise(np.clip(numbers, -1e7, 1e7))]
    manifest = load(tmp_path, {"path": PATHS[: len(values)], "value": values}, bins=bins)
    assert list(manifest.rank_names) == names
    assert manifest.table["rank"].tolist() == list(range(len(names)))


def test_edges_that_the_message_names_hold_the_values(tmp_path):
    columns = {"value": [-1234567.125, 0, 5, 1234567.125]}
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, columns, bins=[-1, 2, 3])
    assert "edges from -1234567.125 or less to 1234567.125 or more, such as -inf and inf" in str(caught.value)
    assert load(tmp_path, columns, bins=[-1234567.125, 2, 1234567.125]).num_ranks == 2


def test_an_open_bin_without_values_is_not_above_the_next(tmp_path):
    manifest = load(tmp_path, {"value": [1, 1, 3, 3]}, bins=[-np.inf, 0, 2, np.inf], allow_empty=True)
    assert manifest.rank_values == (0.0, 1.0, 2.5)


def test_bins_by_quantiles_are_of_equal_size(tmp_path):
    values = np.random.default_rng(0).permutation(np.linspace(0, 1, 30) ** 2)
    paths = [f"{index}.png" for index in range(30)]
    manifest = load(tmp_path, {"path": paths, "value": values}, bins=5)
    assert manifest.table["rank"].value_counts().tolist() == [6] * 5
    assert manifest.table.sort_values("value")["rank"].is_monotonic_increasing


@pytest.mark.parametrize(
    ("bins", "problem"),
    [
        ([0, 1], "not three or more edges"),
        ([0, "x", 10], "not all edges are numbers"),
        ([0, float("nan"), 10], "edges that increase"),
        ([0, 5, 5, 10], "edges that increase"),
        ([1, 2, 3], "2 values of my.csv lie outside"),
        (1, "fewer than two"),
        (9, "quantiles coincide"),
    ],
)
def test_bins_that_cannot_be(tmp_path, bins, problem):
    with pytest.raises(ConfigError, match=problem) as caught:
        load(tmp_path, {"value": [0, 1, 1, 10]}, bins=bins)
    assert caught.value.key == "dataset.bins"


def test_bins_are_for_values(tmp_path):
    with pytest.raises(ConfigError, match="the table has ranks"):
        load(tmp_path, {"rank": [0, 1, 0, 1]}, bins=2)


def test_rank_and_value_together(tmp_path):
    manifest = load(tmp_path, {"rank": [0, 0, 1, 1], "value": [10, 14, 20, 22]})
    assert manifest.table["value"].tolist() == [10.0, 14.0, 20.0, 22.0]
    assert manifest.rank_values == (12.0, 21.0)


def test_names_and_values_from_the_config(tmp_path):
    manifest = load(tmp_path, {"rank": [1, 2, 3, 3]}, rank_names=["low", "mid", "high"], rank_values=[0, 0.5, 2])
    assert manifest.rank_names == ("low", "mid", "high")
    assert manifest.rank_values == (0.0, 0.5, 2.0)
    assert manifest.table["value"].tolist() == [0.0, 0.5, 2.0, 2.0]


def test_names_and_values_from_the_table(tmp_path):
    columns = {"rank": [0, 1, 1, 2], "rank_name": ["bad", "fair", None, "good"], "rank_value": [1, 4, 4, 9]}
    manifest = load(tmp_path, columns)
    assert manifest.rank_names == ("bad", "fair", "good")
    assert manifest.rank_values == (1.0, 4.0, 9.0)
    assert manifest.table["value"].tolist() == [1.0, 4.0, 4.0, 9.0]
    assert "rank_name" not in manifest.table


def test_names_that_disagree(tmp_path):
    with pytest.raises(DataError, match="rank 1 has both fair and good"):
        load(tmp_path, {"rank": [0, 1, 1, 2], "rank_name": ["bad", "fair", "good", "good"]})


@pytest.mark.parametrize("key", ["rank_names", "rank_values"])
def test_wrong_number_of_names(tmp_path, key):
    with pytest.raises(ConfigError, match=r"2 for the 3 ranks 1…3 of the table\n  allowed: a list of 3"):
        load(tmp_path, {"rank": [1, 2, 3, 3]}, **{key: [1, 2]})


def test_more_names_than_grades_need_the_first_rank(tmp_path):
    columns, names = {"rank": [1, 2, 3, 3]}, ["none", "low", "mid", "high"]
    with pytest.raises(ConfigError, match="first_rank"):
        load(tmp_path, columns, rank_names=names, allow_empty=True)
    manifest = load(tmp_path, columns, rank_names=names, allow_empty=True, first_rank=0)
    assert manifest.table["rank"].tolist() == [1, 2, 3, 3]
    above = load(tmp_path, columns, rank_names=names, allow_empty=True, first_rank=1)
    assert above.table["rank"].tolist() == [0, 1, 2, 2]
    assert above.rank_values == (1.0, 2.0, 3.0, 4.0)
    with pytest.raises(ConfigError, match="has a rank below it"):
        load(tmp_path, columns, first_rank=2)


def test_optional_columns_and_attributes(tmp_path):
    columns = {
        "rank": [0, 1, 0, 1],
        "split": ["Train", "validation", "test ", "valid"],
        "subject": ["007", "NA", "x", None],
        "group": ["1", "1", "2", "2"],
        "camera": ["old", "new", "old", "new"],
    }
    table = load(tmp_path, columns).table
    assert table["split"].tolist() == ["train", "val", "test", "val"]
    assert table["subject"].tolist()[:3] == ["007", "NA", "x"]
    assert table["subject"].isna().tolist() == [False, False, False, True]
    assert table["group"].tolist() == ["1", "1", "2", "2"]
    assert table["camera"].tolist() == ["old", "new", "old", "new"]


def test_excel_csv_with_a_mark_semicolons_and_odd_names(tmp_path):
    names = ["ein Bild.png", "größe/図.png"]
    for index, name in enumerate(names):
        write_image(tmp_path / name, index)
    text = "\ufeffpath;rank\r\n" + "".join(f"{name};{rank}\r\n" for rank, name in enumerate(names))
    (tmp_path / "my.csv").write_bytes(text.encode())
    assert load(tmp_path).table["path"].tolist() == names


def test_root_and_full_paths(tmp_path):
    elsewhere = tmp_path / "pictures"
    for index in range(2):
        write_image(elsewhere / f"{index}.png", index)
    file = tmp_path / "my.csv"
    file.write_text(f"path,rank\n0.png,0\n{elsewhere / '1.png'},1\n")
    manifest = load(tmp_path, root=str(elsewhere))
    assert manifest.files() == [elsewhere / "0.png", elsewhere / "1.png"]
    with pytest.raises(ConfigError, match="no such folder"):
        load(tmp_path, root=str(tmp_path / "nowhere"))


def test_the_same_path_in_two_spellings(tmp_path):
    write_image(tmp_path / "a.png")
    (tmp_path / "my.csv").write_text("path,rank\na.png,0\n./a.png,1\n")
    with pytest.raises(DataError, match=r"a\.png: 2 rows"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("file,grade\na.png,1\n", "needs the columns path and rank, or path and value; it has file, grade"),
        (
            "path,rank\na.png,one\nb.png,\n",
            r"2 cells of column rank are not numbers: one \(line 2\), \(empty\) \(line 3\)",
        ),
        ("path,rank\na.png,0\nb.png,1.5\n", r"not integers: 1.5 \(line 3\)"),
        ("path,rank\n,0\n", "1 rows have no path"),
        ("path,rank\na.png,0\nb.png,20000\n", "20001 ranks"),
        ("path,rank\na,b.png,0\nc,d.png,1\n", "cannot be read as a table"),
        ("", "cannot be read as a table"),
        ("path,rank\n", "no rows"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path, text, part):
    (tmp_path / "my.csv").write_text(text)
    with pytest.raises(DataError, match=part):
        load(tmp_path)


def test_a_table_in_another_encoding(tmp_path):
    (tmp_path / "my.csv").write_bytes("path,rank\ngröße.png,0\n".encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8"):
        load(tmp_path)
    (tmp_path / "my.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match="cannot be read"):
        load(tmp_path, name="my.parquet")


@pytest.mark.parametrize("path", [None, "absent.csv", "my.xlsx"])
def test_no_table(tmp_path, path):
    with pytest.raises(ConfigError, match=r"dataset.path=.*\n  allowed: a file of type .csv"):
        load(tmp_path, path=path)


def test_a_saved_table_reads_back_as_the_same_manifest(tmp_path):
    columns = {"rank": [1, 2, 1, 2] * 5, "path": [f"{index}.png" for index in range(20)], "subject": list("abcde") * 4}
    manifest = holdout(load(tmp_path, columns, rank_names=["low", "high"], rank_values=[0.1, 0.9]))
    save_table(manifest, tmp_path / "saved.csv")
    again = holdout(load(tmp_path, name="saved.csv", root=str(tmp_path)))
    assert again.content_hash == manifest.content_hash
    pd.testing.assert_frame_equal(again.table, manifest.table)


def test_labels_of_annotators_count_as_the_ranks_do(tmp_path):
    table = load(tmp_path, {"rank": [1, 2, 5, 2], "labels": ["1 2", "2", "5  4 5", "1"]}, allow_empty=True).table
    assert table["rank"].tolist() == [0, 1, 4, 1]
    assert table["labels"].tolist() == ["0 1", "1", "4 3 4", "0"]
    ages = load(tmp_path, {"value": [20, 21, 22, 22], "labels": ["20 22", "21", "22", "22 20"]})
    assert ages.table["labels"].tolist() == ["0 2", "1", "2", "2 0"]
    columns = {"rank": [1, 2, 3, 3], "labels": ["0 1", "2", "3", "3"]}
    with pytest.raises(DataError, match=r"my\.csv: 1 rows have labels that are not integers 1…3 .*:\n  a\.png: 0 1\n"):
        load(tmp_path, columns)
    lower = load(tmp_path, columns, first_rank=0, allow_empty=True)
    assert lower.table["labels"].tolist() == columns["labels"]
    with pytest.raises(DataError, match=r"2 rows have labels [^\n]*:\n  b\.png: two\n  d\.png: \(none\)\n"):
        load(tmp_path, {"rank": [1, 2, 3, 3], "labels": ["1", "two", "3", None]})


def test_labels_survive_being_written_and_read_without_the_lowest_rank(tmp_path):
    manifest = load(tmp_path, {"rank": [0, 1, 2, 2], "labels": ["0", "1 2", "2", "2"]})
    part = replace(manifest, table=manifest.table[1:].reset_index(drop=True))
    save_table(part, tmp_path / "part.csv")
    again = load(tmp_path, name="part.csv")
    assert again.table["rank"].tolist() == [0, 1, 1]
    assert again.table["labels"].tolist() == ["0 1", "1", "1"]


def write_ordered(tmp_path, words, categories, column="rank"):
    for index in range(len(words)):
        write_image(tmp_path / f"{index}.png", index)
    paths = [f"{index}.png" for index in range(len(words))]
    table = pd.DataFrame({"path": paths, column: pd.Categorical(words, categories, ordered=True)})
    table.to_parquet(tmp_path / "my.parquet")


@pytest.mark.parametrize("column", ["rank", "value"])
def test_ordered_categories_are_ranks_in_their_order(tmp_path, column):
    write_ordered(tmp_path, ["severe", "none", "mild"], ["none", "mild", "severe"], column)
    manifest = load(tmp_path, name="my.parquet")
    assert manifest.table["rank"].tolist() == [2, 0, 1]
    assert manifest.rank_names == ("none", "mild", "severe")
    assert manifest.rank_values == (0.0, 1.0, 2.0)
    assert manifest.table["raw"].tolist() == ["severe", "none", "mild"]
    assert "none < mild < severe" in manifest.notes[0]
    with pytest.raises(ConfigError, match="the first of which is rank 0"):
        load(tmp_path, name="my.parquet", first_rank=0)


def test_a_category_without_images_is_not_dropped(tmp_path):
    write_ordered(tmp_path, ["severe", "mild"], ["none", "mild", "severe"])
    with pytest.raises(ConfigError, match=r"1 of 3 ranks have no image in my\.parquet: none"):
        load(tmp_path, name="my.parquet")
    assert load(tmp_path, name="my.parquet", allow_empty=True).table["rank"].tolist() == [2, 1]


def test_ordered_categories_that_are_numbers_are_numbers(tmp_path):
    write_ordered(tmp_path, ["2", "1", "3"], ["3", "2", "1"])
    assert load(tmp_path, name="my.parquet").table["rank"].tolist() == [1, 0, 2]


def test_integers_written_with_a_point(tmp_path):
    manifest = load(tmp_path, {"rank": ["1.0", "2.0", "3.0", "2"], "labels": ["1.0 2.0", "2", "3.00", "2"]})
    assert manifest.table["rank"].tolist() == [0, 1, 2, 1]
    assert manifest.table["labels"].tolist() == ["0 1", "1", "2", "1"]


def test_columns_in_capitals(tmp_path):
    for index in range(2):
        write_image(tmp_path / f"{index}.png", index)
    (tmp_path / "my.csv").write_text("Path,RANK,Subject,Camera\n0.png,0,s,x\n1.png,1,t,y\n")
    table = load(tmp_path).table
    assert table["rank"].tolist() == [0, 1]
    assert table["subject"].tolist() == ["s", "t"]
    assert "Camera" in table


@pytest.mark.parametrize(
    ("cells", "remedy"),
    [
        (["mild", "severe"], "these are words: .* rank_name"),
        (["0,5", "1,5"], "write decimals with a point, 0.5 and not 0,5"),
        (["1,500", "12,000.5"], "thousands without a separator"),
        (["2014-05-01", "2015-06-02 00:00:00"], "these are dates"),
        (["1.5.2014", "12/31/2014"], "these are dates"),
        (["", "1"], "what to do: correct them, or remove their rows"),
        (["NaN", "1"], "what to do: remove these rows, or fill in their labels"),
    ],
)
def test_the_remedy_fits_the_cells(tmp_path, cells, remedy):
    (tmp_path / "my.csv").write_text("path;value\n" + "".join(f"{row}.png;{cell}\n" for row, cell in enumerate(cells)))
    with pytest.raises(DataError, match=remedy):
        load(tmp_path)


def test_a_table_without_a_header(tmp_path):
    (tmp_path / "my.csv").write_text("a.png,0\nb.png,1\n")
    with pytest.raises(DataError, match=r"its first line names an image: put a line .* above it, such as path,rank"):
        load(tmp_path)


def test_paths_written_in_another_way_are_the_files_they_mean(tmp_path):
    for index, name in enumerate(["Zoe\u0301.png", "b.PNG"]):
        write_image(tmp_path / "img" / name, index)
    (tmp_path / "my.csv").write_text("path,rank\nimg/Zo\u00e9.png,0\nimg\\b.PNG,1\n")
    assert load(tmp_path).table["path"].tolist() == ["img/Zoe\u0301.png", "img/b.PNG"]
    (tmp_path / "my.csv").write_text("path,rank\nimg/Zo\u00e9.png,0\nimg\\b.PNG,1\nimg/b.PNG,1\n")
    with pytest.raises(DataError, match=r"img/b\.PNG: 2 rows"):
        load(tmp_path)
    (tmp_path / "my.csv").write_text("path,rank\nimg/Zo\u00e9.png,0\nimg/B.png,1\n")
    with pytest.raises(DataError, match=r"img/B\.png: file not found \(there is img/b\.PNG\)"):
        load(tmp_path)
