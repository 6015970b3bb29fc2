"""Two scores of each item: the figures, and rows that do not belong together."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from descscore.errors import OptionError, PairingError, TableError
from descscore.evaluate.compare import compare_scores
from descscore.evaluate.scored_pairs import pair_scores


def table(path: Path, *rows: str, header: str = "id,image,text,score") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_the_figures_are_those_of_the_differences():
    rng = np.random.default_rng(0)
    a = rng.normal(size=100)
    b = a + rng.normal(loc=0.1, scale=0.5, size=100)
    b[:3] = a[:3]
    found = compare_scores(a, b, [f"item {i}" for i in range(100)], top=2)
    assert found.difference.value == pytest.approx((b - a).mean())
    assert found.difference.low < found.difference.value < found.difference.high
    assert found.p == pytest.approx(scipy.stats.ttest_rel(a, b).pvalue, abs=0.02)
    assert (found.win.value, found.win.ties) == (np.mean(b > a), 3)
    assert found.lower == (b < a).sum()
    order = np.argsort(b - a)
    assert [change.item for change in found.raised] == [f"item {i}" for i in order[[-1, -2]]]
    assert [change.item for change in found.lowered] == [f"item {i}" for i in order[[0, 1]]]
    assert found.raised[0].difference == found.raised[0].b - found.raised[0].a


def test_items_without_a_score_are_left_out_and_named():
    found = compare_scores(
        np.array([0.1, np.nan, 0.3]), np.array([0.2, 0.2, np.nan]), ["x", "y", "z"]
    )
    assert (found.n, found.difference.low, found.p) == (1, None, None)
    assert [(f.item, f.error) for f in found.missing] == [
        ("y", "has no score in A"),
        ("z", "has no score in B"),
    ]
    with pytest.raises(PairingError, match="none of 1 items has a score in both"):
        compare_scores(np.array([np.nan]), np.array([1.0]), ["x"])


def test_a_constant_difference_is_said():
    a = np.array([0.1, 0.5, 0.3])
    assert compare_scores(a, a, ["x", "y", "z"]).constant
    assert compare_scores(a, a, ["x", "y", "z"]).p == 1
    shifted = compare_scores(a, a + 0.1, ["x", "y", "z"])
    assert shifted.constant
    # Of eight ways to swap three pairs two are as extreme.
    assert shifted.p == pytest.approx(0.25)


def test_rows_are_matched_by_image_and_text_or_by_id(tmp_path: Path):
    a = table(tmp_path / "a.csv", "1,a.png,x,0.1", "2,b.png,y,", "3,c.png,z,0.3")
    b = table(tmp_path / "b.csv", "3,c.png,z,0.5", "1,a.png,x,0.2", "4,d.png,w,0.9")
    same = pair_scores(a, a)
    assert same.a == pytest.approx([0.1, np.nan, 0.3], nan_ok=True)
    assert (same.items[0], same.missing) == ("row 1 (a.png)", [])
    for by, names, lost in (
        ("id", ["1", "3"], ["2", "4"]),
        (None, ["row 1 (a.png)", "row 3 (c.png)"], ["row 2 (b.png)", "row 3 (d.png)"]),
    ):
        found = pair_scores(a, b, id_column=by)
        assert (found.items, found.texts) == (names, ["x", "z"])
        assert [list(found.a), list(found.b)] == [[0.1, 0.3], [0.2, 0.5]]
        assert [(f.item, f.error) for f in found.missing] == [
            (lost[0], f"is not in {b}"),
            (lost[1], f"is not in {a}"),
        ]


@pytest.mark.parametrize(
    ("rows", "by_id", "message"),
    [
        (["1,a.png,Y,0.1", "2,b.png,Y,0.2"], None, "have no row in common"),
        (["1,a.png,x,0.1", "2,a.png,x,0.2"], None, "'image', 'text' .* has 1 rows in .* and 2"),
        (["1,a.png,x,0.1", "2,b.png,y,good"], None, "row 2 of .* has 'good' in 'score', which is"),
        (["1,a.png,x,0.1", "2,b.png,y,inf"], None, "row 2 of .* has 'inf' in 'score', which is"),
        (["1,a.png,x,0.1", "1,b.png,y,0.2"], "id", "'id' '1' repeats"),
        (["1,a.png,x,0.1", ",b.png,y,0.2"], "id", "row 2 of .* has nothing in 'id'"),
        (["7,a.png,x,0.1"], "id", "have no row in common"),
        (["1,a.png,x,0.1"], "name", "has no column 'name'"),
    ],
)
def test_files_of_other_rows_are_refused(
    tmp_path: Path, rows: list[str], by_id: str | None, message: str
):
    a = table(tmp_path / "a.csv", "1,a.png,x,0.1", "2,b.png,y,0.2")
    b = table(tmp_path / "b.csv", *rows)
    with pytest.raises(TableError, match=message):
        pair_scores(a, b, id_column=by_id)


SIGNATURE = "descscore:1|checkpoint:a@1|base:itself|scale:clipscore|prefix:none|long_text:truncate"


def record(path: Path, signature: str = SIGNATURE, **settings: object) -> None:
    """Write the record of a run beside a file."""
    content = {"image_column": "image", "text_column": "text", **settings, "signature": signature}
    path.with_name(f"{path.name}.run.jsonl").write_text(json.dumps(content) + "\n")


def test_shuffled_rows_are_matched_whatever_their_columns_are_called(tmp_path: Path):
    rows = ["1,a cup,0.71", "2,a cat,1.16", "3,a dog,0.95"]
    a = table(tmp_path / "a.csv", *rows, header="image_id,caption,score")
    b = table(tmp_path / "b.csv", *rows[::-1], header="image_id,caption,score")
    assert list(pair_scores(a, b).b) == [0.71, 1.16, 0.95]
    for path in (a, b):
        record(path, image_column="image_id", text_column="caption")
    assert list(pair_scores(a, b).b) == [0.71, 1.16, 0.95]
    assert list(pair_scores(a, b, id_column="image_id").b) == [0.71, 1.16, 0.95]


def test_images_made_from_a_pattern_are_matched_by_its_columns(tmp_path: Path):
    a = table(tmp_path / "a.csv", "1,x,0.1", "2,x,0.2", header="number,text,score")
    b = table(tmp_path / "b.csv", "2,x,0.3", "1,x,0.4", header="number,text,score")
    for path in (a, b):
        record(path, image_column=None, image_pattern="{number:012d}.jpg")
    assert list(pair_scores(a, b).b) == [0.4, 0.3]


def test_rows_that_name_neither_image_nor_text_are_left_out(tmp_path: Path):
    """A line that is no JSON, or an empty one of a spreadsheet, has no score in either file."""
    a = table(tmp_path / "a.csv", "1,a.png,x,0.1", "2,,,", "3,,,")
    b = table(tmp_path / "b.csv", "1,a.png,x,0.2", "2,,,", "3,,,")
    pairs = pair_scores(a, b)
    found = compare_scores(pairs.a, pairs.b, pairs.items, missing=pairs.missing)
    assert (found.n, found.difference.value) == (1, pytest.approx(0.1))
    assert [f.item for f in found.missing] == ["row 2 ()", "row 3 ()"]


def test_rows_that_nothing_tells_apart_are_refused(tmp_path: Path):
    a = table(tmp_path / "a.csv", "0.1", "0.2", header="score")
    with pytest.raises(OptionError, match=r"nothing says which rows .* `id_column`"):
        pair_scores(a, a)
    of_one = table(tmp_path / "b.csv", "a.png,0.1", "a.png,0.2", header="image,score")
    with pytest.raises(OptionError, match="nothing says which rows"):
        pair_scores(of_one, of_one)
    record(of_one, table_sha256="7c")  # both are of one table, in its order
    assert list(pair_scores(of_one, of_one).a) == [0.1, 0.2]


@pytest.mark.parametrize("rows", [["a cat,0.4", "a cup,0.3"], ["a cup,0.3"]])
def test_rows_of_one_table_that_moved_or_went_since_are_refused(rows: list[str], tmp_path: Path):
    a = table(tmp_path / "a.csv", "a cup,0.1", "a cat,0.2", header="text,score")
    b = table(tmp_path / "b.csv", *rows, header="text,score")
    for path in (a, b):
        record(path, table_sha256="7c")
    with pytest.raises(TableError, match="moved or are gone"):
        pair_scores(a, b)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("scale:clipscore", "scale:cosine"),
        ("prefix:none", "prefix:'A photo depicts '"),
        ("long_text:truncate", "long_text:sentences"),
        ("truncate", "truncate|references:max"),
    ],
)
def test_scores_of_different_settings_are_refused(tmp_path: Path, before: str, after: str):
    a = table(tmp_path / "a.csv", "1,a.png,x,0.1", "2,b.png,y,0.2")
    b = table(tmp_path / "b.csv", "1,a.png,x,0.1", "2,b.png,y,0.2")
    record(a)
    record(b, SIGNATURE.replace(before, after))
    name = after.rpartition("|")[2].partition(":")[0]
    with pytest.raises(OptionError, match=f"are not comparable: {name} is "):
        pair_scores(a, b)


def test_checkpoints_are_comparable_but_not_their_logits(tmp_path: Path):
    a = table(tmp_path / "a.csv", "1,a.png,x,0.1", "2,b.png,y,0.2")
    b = table(tmp_path / "b.csv", "1,a.png,x,0.1", "2,b.png,y,0.2")
    record(a)
    record(b, SIGNATURE.replace("checkpoint:a", "checkpoint:b"))
    assert "different models" in pair_scores(a, b).notes[0]
    for path, name in ((a, "a"), (b, "b")):
        record(path, f"checkpoint:{name}@1|scale:logit")
    with pytest.raises(OptionError, match="checkpoint is a@1 in the first and b@1"):
        pair_scores(a, b)


def test_scores_of_different_models_are_compared_with_a_note(tmp_path: Path):
    a = table(tmp_path / "a.csv", "1,a.png,x,0.1", "2,b.png,y,0.2")
    b = table(tmp_path / "b.csv", "1,a.png,x,0.1", "2,b.png,y,0.2")
    record(a)  # a plain CLIP
    record(b, SIGNATURE.replace("a@1|base:itself", "tuned@2|base:a@1"))
    assert pair_scores(a, b).notes == []
    record(b, SIGNATURE.replace("a@1|base:itself", "tuned@2|base:other@3"))
    [note] = pair_scores(a, b).notes
    assert note.startswith("A and B are scores of different models (a@1, other@3)")


def test_a_file_without_its_record_is_compared_with_a_note(tmp_path: Path):
    a = table(tmp_path / "a.csv", "1,a.png,x,0.1", "2,b.png,y,0.2")
    b = table(tmp_path / "b.csv", "1,a.png,x,0.1", "2,b.png,y,0.2")
    record(a)
    [note] = pair_scores(a, b).notes
    assert note.startswith(f"{b} has no record")


def test_rows_of_one_image_are_matched_by_their_text_and_resampled_together(tmp_path: Path):
    rng = np.random.default_rng(0)
    rows = [f"{image},text {image} {k},{{}}" for image in range(30) for k in range(5)]
    values = rng.normal(size=150)
    image = np.repeat(np.arange(30), 5)
    shifts = rng.normal(size=30)[image]
    header = "image_id,text,score"
    lines = [row.format(value) for row, value in zip(rows, values, strict=True)]
    a = table(tmp_path / "a.csv", *lines, header=header)
    lines = [row.format(value) for row, value in zip(rows, values + shifts, strict=True)]
    b = table(tmp_path / "b.csv", *[lines[i] for i in rng.permutation(150)], header=header)
    with pytest.raises(TableError, match=r"'0' repeats: .* or let ids repeat"):
        pair_scores(a, b, id_column="image_id")
    found = pair_scores(a, b, id_column="image_id", repeated=True)
    assert found.b - found.a == pytest.approx(shifts)
    whole = compare_scores(found.a, found.b, found.items, clusters=found.clusters)
    single = compare_scores(found.a, found.b, found.items)
    assert (whole.n, whole.clusters, whole.difference.value) == (150, 30, single.difference.value)
    # The shift is one of the image: five texts of it say no more than one.
    expected = 2 * scipy.stats.t.ppf(0.975, 29) * shifts[::5].std(ddof=1) / np.sqrt(30)
    assert 2 * whole.difference.half_width == pytest.approx(expected, rel=0.1)
    assert 2 * single.difference.half_width < 0.6 * expected
    assert whole.p == pytest.approx(scipy.stats.ttest_1samp(shifts[::5], 0)[1], abs=0.03)
    fewer = table(tmp_path / "c.csv", *lines[1:], header=header)
    with pytest.raises(TableError, match=r"'image_id' '0' repeats: it has 5 rows in .* and 4 in"):
        pair_scores(a, fewer, id_column="image_id", repeated=True)


def test_ids_that_differ_in_their_spelling_only_are_matched_or_named(tmp_path: Path):
    a = table(tmp_path / "a.csv", "caf\u00e9,a.png,x,0.1", "2,b.png,y,0.2")
    b = table(tmp_path / "b.csv", "cafe\u0301,a.png,x,0.1", "2,b.png,y,0.2")
    assert pair_scores(a, b, id_column="id").missing == []
    c = table(tmp_path / "c.csv", "1.0,a.png,x,0.1")
    d = table(tmp_path / "d.csv", "1,a.png,x,0.1")
    with pytest.raises(TableError, match=r"'1' differs from '1.0' by a decimal point"):
        pair_scores(c, d, id_column="id")
