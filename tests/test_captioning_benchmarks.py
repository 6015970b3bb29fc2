"""Captioning benchmarks in their authors' layouts, measured against scipy and by hand."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import kendalltau

from descscore.errors import InputError, OptionError, TableError
from descscore.evaluate.benchmarks import BENCHMARKS
from descscore.evaluate.benchmarks.entries import Entries, rank_correlations
from descscore.evaluate.benchmarks.run import read_benchmark, run_benchmark
from tests import benchmarks_made as made
from tests.benchmarks_made import KnownMetric, augmented, value


def measure(name: str, folder: Path, **options):
    result = run_benchmark(KnownMetric(), read_benchmark(name, folder, **options), resamples=50)
    return {(m.name, m.part, m.references): m for m in result.measures}, result


def tau(variant: str, rows, score=value) -> float:
    scores: Any = [score(*row[:-1]) for row in rows]
    found: Any = kendalltau(scores, [row[-1] for row in rows], variant=variant)
    return found[0]


def lines(path: Path) -> list[list[str]]:
    return [line.split("\t") for line in path.read_text().splitlines()]


def test_flickr8k_expert_takes_every_rating_but_those_of_the_images_own_captions(tmp_path: Path):
    made.flickr8k(tmp_path)
    texts = {i: " ".join(t.split()) for i, t in lines(tmp_path / "Flickr8k.token.txt")}
    rows = [
        (image, texts[caption], float(grade))
        for image, caption, *grades in lines(tmp_path / "ExpertAnnotations.txt")
        if not caption.startswith(image)
        for grade in grades
    ]
    found, result = measure("flickr8k-expert", tmp_path)
    for variant in "cb":
        ours = found[f"tau_{variant}", "all", False]
        assert ours.estimate.value == pytest.approx(tau(variant, rows))
        assert (ours.estimate.n, result.images) == (len(rows), made.N_IMAGES)
        assert ours.estimate.low <= ours.estimate.value <= ours.estimate.high
    assert len(rows) == 3 * 3 * made.N_IMAGES
    assert result.notes == ("6 captions skipped because they are among the image's own",)
    assert found["tau_c", "all", False].published == 0.512
    assert found["tau_b", "all", False].published is None


def test_flickr8k_cf_takes_the_share_of_yes_and_rated_captions_out_of_the_references(
    tmp_path: Path,
):
    made.flickr8k(tmp_path)
    texts = {i: " ".join(t.split()) for i, t in lines(tmp_path / "Flickr8k.token.txt")}
    rows = [
        (image, texts[caption], int(yes) / (int(yes) + int(no)))
        for image, caption, _, yes, no in lines(tmp_path / "CrowdFlowerAnnotations.txt")
    ]
    found, _ = measure("flickr8k-cf", tmp_path, references=True)
    assert found["tau_b", "all", False].estimate.value == pytest.approx(tau("b", rows))
    assert found["tau_b", "all", False].published == 0.344
    # Caption 0 of each image was rated for that image; the other four stay.
    with_references = [
        (image, text, [t for i, t in texts.items() if i.startswith(image) and i[-1] != "0"], share)
        for image, text, share in rows
    ]
    read: Any = read_benchmark("flickr8k-cf", tmp_path, references=True)
    assert read.references == [left for _, _, left, _ in with_references]
    ours = found["tau_b", "all", True]
    assert ours.estimate.value == pytest.approx(tau("b", with_references, augmented))
    assert ours.published == 0.364


@pytest.mark.parametrize(
    ("name", "file"),
    [("flickr8k-expert", "flickr8k.json"), ("flickr8k-cf", "crowdflower_flickr8k.json")],
)
def test_flickr8k_is_read_from_the_json_of_clipscore_and_pac_s(
    tmp_path: Path, name: str, file: str
):
    content = made.flickr8k_json(tmp_path, file)
    rows = [
        (
            str(entry["image_path"]),
            " ".join(judgement["caption"].split()),
            [" ".join(text.split()) for text in entry["ground_truth"]],  # pyright: ignore
            judgement["rating"],
        )
        for entry in content.values()
        for judgement in entry["human_judgement"]  # pyright: ignore
        if not np.isnan(judgement["rating"])
    ]
    found, result = measure(name, tmp_path, references=True)
    alone = [(image, text, rating) for image, text, _, rating in rows]
    assert found["tau_c", "all", False].estimate.value == pytest.approx(tau("c", alone))
    assert found["tau_c", "all", True].estimate.value == pytest.approx(tau("c", rows, augmented))
    assert result.notes == (f"6 ratings skipped because they are NaN in {file}",)


def test_composite_takes_three_captions_a_row_and_the_rated_ones_out_of_the_references(
    tmp_path: Path,
):
    made.composite(tmp_path)
    rows = []
    for name, width in (("8k", 3), ("30k", 4), ("coco", 4)):
        with (tmp_path / f"{name}_correctness.csv").open() as file:
            for fields in list(csv.reader(file, delimiter=";"))[1:-1]:
                image = fields[27].split("/")[-1]
                left = [f"Another of {image}", "A third ."]
                rows += [
                    (image, fields[28 + k], left, int(fields[28 + width + k])) for k in range(3)
                ]
    found, result = measure("composite", tmp_path, references=True)
    alone = [(image, text, rating) for image, text, _, rating in rows]
    ours = found["tau_c", "all", False]
    assert (ours.estimate.n, ours.estimate.value) == (18, pytest.approx(tau("c", alone)))
    assert ours.published == 0.538
    assert found["tau_c", "all", True].estimate.value == pytest.approx(tau("c", rows, augmented))
    assert found["tau_b", "all", False].estimate.value == pytest.approx(tau("b", alone))
    assert "3 rows without an image address skipped" in result.notes


def test_pascal_50s_counts_the_majoritys_caption_by_category_and_half_of_ties(tmp_path: Path):
    made.pascal_50s(tmp_path)
    found, result = measure("pascal-50s", tmp_path)
    image = [f"2008_{n % 4:06d}.jpg" for n in range(8)]
    # Pair n: 20 + n of 48 for the first, so that pairs 0 to 3 go to the second, 4 is tied.
    right = []
    for n in range(8):
        first_scores_higher = value(image[n], f"first {n}") > value(image[n], f"second {n}")
        right.append(0.5 if n == 4 else float(first_scores_higher == (n > 4)))
    for k, category in enumerate(["HC", "HI", "HM", "MM"]):
        ours = found["accuracy", category, False]
        assert (ours.estimate.n, ours.estimate.value) == (2, np.mean([right[k], right[k + 4]]))
    mean = found["accuracy", "mean", False]
    assert (mean.estimate.n, mean.estimate.value) == (8, np.mean(right))
    assert (mean.published, mean.published_in) == (0.807, "Hessel et al. 2021, Table 4")
    assert mean.estimate.low <= mean.estimate.value <= mean.estimate.high
    assert "in the 1 pairs whose judgements are tied" in result.notes[0]


def test_pascal_50s_draws_five_of_the_48_references(tmp_path: Path):
    made.pascal_50s(tmp_path)
    read: Any = read_benchmark("pascal-50s", tmp_path, references=True)
    drawn = read.references[::2]
    assert drawn == read.references[1::2]
    for n, texts in enumerate(drawn):
        assert len(set(texts)) == 5
        assert all(text.startswith(f"ref {n} ") for text in texts)
    right = []
    for n in range(8):
        image = f"2008_{n % 4:06d}.jpg"
        first, second = (augmented(image, f"{w} {n}", drawn[n]) for w in ("first", "second"))
        right.append(0.5 if n == 4 else float((first > second) == (n > 4)))
    result = run_benchmark(KnownMetric(), read, resamples=50)
    [mean] = [m for m in result.measures if m.part == "mean" and m.references]
    assert mean.estimate.value == pytest.approx(np.mean(right))
    again: Any = read_benchmark("pascal-50s", tmp_path, references=True)
    assert again.references == read.references


def test_foil_counts_every_pair_and_each_image_the_same(tmp_path: Path):
    made.foil(tmp_path)
    read: Any = read_benchmark("foil", tmp_path, references=True)
    found, result = measure("foil", tmp_path, references=True)
    alone: dict[str, list[bool]] = {}
    both: dict[str, list[bool]] = {}
    for place in range(0, len(read.texts), 2):
        image, dog, cat = read.images[place].name, *read.texts[place : place + 2]
        assert dog.replace("dog", "cat") == cat
        others = read.references[place]
        assert len(set(others)) == 4
        assert dog not in others
        assert all(text.endswith(dog[-1]) for text in others)
        alone.setdefault(image, []).append(value(image, dog) > value(image, cat))
        higher = augmented(image, dog, others) > augmented(image, cat, others)
        both.setdefault(image, []).append(higher)
    assert [len(wins) for wins in alone.values()] == [1, 2, 3]
    for references, wins in {False: alone, True: both}.items():
        ours = found["accuracy", "all", references]
        expected = np.mean([np.mean(of_image) for of_image in wins.values()])
        assert (ours.estimate.n, ours.estimate.value) == (6, pytest.approx(expected))
        assert ours.published == (0.926 if references else 0.872)
    assert result.notes[1].startswith("1 captions skipped that have no foil")


def test_the_bootstrap_draws_whole_images():
    # Ten equal ratings of each of 30 images say no more than one of each: the interval stays wide.
    rng = np.random.default_rng(0)
    ratings = rng.integers(1, 5, 30).astype(float)
    scores = ratings + 2 * rng.normal(size=30)

    def width(copies: int) -> float:
        rated = Entries(
            benchmark="composite",
            measure=rank_correlations,
            images=tuple(Path(f"{n}.jpg") for n in range(30)) * copies,
            texts=("text",) * 30 * copies,
            truth=np.tile(ratings, copies),
        )
        [_, tau_b] = rated.measure(rated, np.tile(scores, copies), 500, 0)
        assert tau_b.estimate.low is not None
        assert tau_b.estimate.high is not None
        return tau_b.estimate.high - tau_b.estimate.low

    assert width(10) == pytest.approx(width(1), rel=0.15)


def test_equal_scores_of_a_pair_count_half(tmp_path: Path):
    made.foil(tmp_path)
    metric = KnownMetric()
    read: Any = read_benchmark("foil", tmp_path)
    flat = type("Flat", (), {"__call__": lambda _, *a: _zeroed(metric(*a))})()
    [ours] = run_benchmark(flat, read, resamples=50).measures
    assert (ours.estimate.value, ours.estimate.low, ours.estimate.high) == (0.5, 0.5, 0.5)


def _zeroed(scores):
    scores.scores[:] = 0
    return scores


def test_constant_scores_have_no_rank_correlation_and_say_so(tmp_path: Path):
    made.flickr8k(tmp_path)
    metric = KnownMetric()
    flat = type("Flat", (), {"__call__": lambda _, *a: _zeroed(metric(*a))})()
    result = run_benchmark(flat, read_benchmark("flickr8k-expert", tmp_path), resamples=50)
    for ours in result.measures:
        assert (ours.estimate.value, ours.estimate.low, ours.estimate.undefined) == (
            None,
            None,
            "all 54 scores are 0",
        )


def test_a_pair_that_cannot_be_scored_stops_the_benchmark(tmp_path: Path):
    made.flickr8k(tmp_path)
    read: Any = read_benchmark("flickr8k-cf", tmp_path)
    with pytest.raises(InputError, match="text is bad"):
        run_benchmark(KnownMetric(failing=read.texts[-1]), read)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("flickr8k-expert", r"flickr8k\.json or ExpertAnnotations\.txt.*forms\.illinois\.edu"),
        ("flickr8k-cf", r"crowdflower_flickr8k\.json or CrowdFlower.*aimagelab/pacscore"),
        ("composite", r"8k_correctness\.csv.*imagesdg\.wordpress\.com"),
        ("pascal-50s", r"pair_pascal\.mat.*vrama91\.github\.io"),
        ("foil", r"foilv1\.0_test_2017\.json.*foilunitn\.github\.io"),
    ],
)
def test_a_missing_file_is_named_with_its_authors_address(tmp_path: Path, name: str, wanted: str):
    with pytest.raises(TableError, match=wanted):
        read_benchmark(name, tmp_path)
    with pytest.raises(OptionError, match="does not exist"):
        read_benchmark(name, tmp_path / "nowhere")


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_missing_image_is_named_with_its_authors_address(tmp_path: Path, name: str):
    getattr(
        made,
        {"flickr8k-expert": "flickr8k", "flickr8k-cf": "flickr8k"}.get(
            name, name.replace("-", "_")
        ),
    )(tmp_path)
    image = next(path for path in sorted(tmp_path.rglob("*.[jp][pn]g")))
    image.unlink()
    with pytest.raises(TableError, match=f"1 of [0-9]+ images of .*{image.name}.*https?://"):
        read_benchmark(name, tmp_path)


def test_images_may_lie_in_a_folder_of_their_own(tmp_path: Path):
    made.foil(tmp_path)
    (tmp_path / "val2014").rename(tmp_path.parent / "of_coco")
    read: Any = read_benchmark("foil", tmp_path, images=tmp_path.parent / "of_coco")
    assert read.images[0] == tmp_path.parent / "of_coco" / "COCO_val2014_000000000000.jpg"


def test_an_unknown_benchmark_is_refused(tmp_path: Path):
    with pytest.raises(OptionError, match="choose one of flickr8k-expert, flickr8k-cf"):
        read_benchmark("flickr30k", tmp_path)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    # Of annotations, a single damaged row would be left out.
    path.write_text(text.replace(old, new, -1 if path.stem.endswith("Annotations") else 1))


@pytest.mark.parametrize(
    ("name", "file", "old", "new", "message"),
    [
        ("flickr8k-expert", "ExpertAnnotations.txt", "\t", " ", "line 1 has 1 fields"),
        ("flickr8k-expert", "ExpertAnnotations.txt", "#0", "#9", "names caption '0_ab.jpg#9'"),
        ("flickr8k-expert", "Flickr8k.token.txt", "#0\t", "\t", "line 1; expected 'image.jpg#0'"),
        ("flickr8k-cf", "CrowdFlowerAnnotations.txt", "\t0.", "\t1.", "line 1 says 1"),
        ("composite", "8k_correctness.csv", ";text 1;", ";", "row 2 has 5 fields after"),
        ("composite", "coco_correctness.csv", "text 3;", "text 3;7", "holds the rating '7"),
        ("foil", "foilv1.0_test_2017.json", '"caption"', '"text"', "KeyError.*caption"),
        ("foil", "foilv1.0_test_2017.json", "false", '"no"', "foil is 'no'"),
        ("foil", "foilv1.0_test_2017.json", "{", "", "cannot be read"),
    ],
)
def test_a_malformed_file_is_named_with_what_was_expected(
    tmp_path: Path, name: str, file: str, old: str, new: str, message: str
):
    getattr(made, "flickr8k" if name.startswith("flickr8k") else name)(tmp_path)
    edit(tmp_path / file, old, new)
    with pytest.raises(TableError, match=message) as error:
        read_benchmark(name, tmp_path)
    assert str(tmp_path / file) in str(error.value)
    assert "https://" in str(error.value)


@pytest.mark.parametrize(
    ("name", "row", "why"),
    [
        (
            "flickr8k-expert",
            "0_ab.jpg\t1_ab.jpg#1\t1\t2\t5",
            "rates 5, and ratings range from 1 to 4",
        ),
        ("flickr8k-expert", "0_ab.jpg\t1_ab.jpg#1\t1\t2", "has 4 fields, not 5"),
        ("flickr8k-cf", "0_ab.jpg\t1_ab.jpg#7\t0.5\t1\t1", "names caption '1_ab.jpg#7'"),
        ("flickr8k-cf", "0_ab.jpg\t1_ab.jpg#1\t0.5\t1\t2", "says 0.5 for 1 yes and 2 no"),
        ("flickr8k-cf", "0_ab.jpg\t1_ab.jpg#1\tJan 3\t1\t2", "could not convert"),
        ("flickr8k-cf", "0_ab.jpg\t1_ab.jpg#1\tnan\t1\t2", "says nan"),
    ],
)
def test_a_damaged_row_of_flickr8k_is_left_out_and_counted(
    tmp_path: Path, name: str, row: str, why: str
):
    made.flickr8k(tmp_path)
    whole: Any = read_benchmark(name, tmp_path)
    stem = "Expert" if name.endswith("expert") else "CrowdFlower"
    path = tmp_path / f"{stem}Annotations.txt"
    path.write_text(f"{row}\n{path.read_text()}")
    read: Any = read_benchmark(name, tmp_path)
    assert list(read.truth) == list(whole.truth)
    assert read.notes[-1].startswith(f"1 damaged rows of {path.name} skipped: line 1 ")
    assert why in read.notes[-1]


def test_the_ratings_of_the_real_flickr8k_files_are_read(shared_data: Path):
    folder = shared_data / "flickr8k"
    if not folder.is_dir():
        pytest.skip("Flickr8k is not there")
    expert = read_benchmark("flickr8k-expert", folder, images=folder / "images")
    crowd = read_benchmark("flickr8k-cf", folder, images=folder / "images", references=True)
    own = int(expert.notes[0].partition(" ")[0])
    assert len(expert.images) == 3 * (2795 - own)
    assert len(crowd.images) == 22_680
    rated = {row[0] for row in lines(folder / "CrowdFlowerAnnotations.txt")}
    assert {path.name for path in crowd.images} == rated
    some = read_benchmark("flickr8k-expert", folder, images=folder / "images", limit=50)
    assert len(set(some.images)) == 50
    assert set(some.images) < set(expert.images)


def test_sugarcrepe_counts_captions_over_their_hard_negatives_by_category(tmp_path: Path):
    made.sugarcrepe(tmp_path)
    found, result = measure("sugarcrepe", tmp_path)
    right = {
        name: [
            value(f"{k}.jpg", f"a {name} {k}") > value(f"{k}.jpg", f"no {name} {k}")
            for k in range(4)
        ]
        for name in ("add_att", "swap_obj")
    }
    for name, wins in right.items():
        assert found["accuracy", name, False].estimate.value == np.mean(wins)
    mean = found["accuracy", "mean", False].estimate.value
    assert mean == np.mean([np.mean(wins) for wins in right.values()])
    assert "without add_obj, replace_att" in result.notes[0]
    with pytest.raises(OptionError, match="has no references"):
        read_benchmark("sugarcrepe", tmp_path, references=True)
    (tmp_path / "swap_obj.json").write_text("[]")
    with pytest.raises(TableError, match=r"swap_obj.json is not laid out .* negative_caption"):
        read_benchmark("sugarcrepe", tmp_path)


def test_winoground_counts_examples_whose_images_and_captions_are_matched(tmp_path: Path):
    made.winoground(tmp_path)
    found, result = measure("winoground", tmp_path)
    text, image = [], []
    for k in range(40):
        s = [
            [value(f"ex_{k}_img_{i}.png", caption) for caption in (f"a {k} b", f"b {k} a")]
            for i in (0, 1)
        ]
        text.append(s[0][0] > s[0][1] and s[1][1] > s[1][0])
        image.append(s[0][0] > s[1][0] and s[1][1] > s[0][1])
    expected = {"text": text, "image": image, "group": np.logical_and(text, image)}
    for part, right in expected.items():
        estimate = found["accuracy", part, False].estimate
        assert (estimate.value, estimate.n) == (np.mean(right), 40)
    assert result.images == 80
    some = read_benchmark("winoground", tmp_path, limit=10)
    assert len(set(some.images)) == 10
    firsts, seconds = some.images[::4], some.images[2::4]
    assert {path.name[:-5] for path in firsts} == {path.name[:-5] for path in seconds}
    (tmp_path / "examples.jsonl").write_text('{"image_0": "a"}\n')
    with pytest.raises(TableError, match="line 1 fails with KeyError"):
        read_benchmark("winoground", tmp_path)


def test_malformed_json_of_flickr8k_is_refused(tmp_path: Path):
    content = made.flickr8k_json(tmp_path, "flickr8k.json")
    del content["3_ab"]["ground_truth"]
    (tmp_path / "flickr8k.json").write_text(json.dumps(content))
    with pytest.raises(TableError, match="entry '3_ab' fails with KeyError"):
        read_benchmark("flickr8k-expert", tmp_path)


def test_a_matlab_file_that_is_none_is_refused(tmp_path: Path):
    made.pascal_50s(tmp_path)
    (tmp_path / "consensus_pascal.mat").write_bytes(b"no MATLAB")
    with pytest.raises(TableError, match=r"consensus_pascal\.mat .* cannot be read"):
        read_benchmark("pascal-50s", tmp_path)


def test_triplets_of_other_captions_are_refused(tmp_path: Path):
    from scipy.io import loadmat, savemat

    made.pascal_50s(tmp_path)
    content = loadmat(tmp_path / "pair_pascal.mat")
    content["new_input"][0, 2]["b"] = np.array(["another text"])
    savemat(tmp_path / "pair_pascal.mat", {k: content[k] for k in ("new_input", "category")})
    with pytest.raises(TableError, match="a triplet of pair 3 is about 'first 2' and 'second 2'"):
        read_benchmark("pascal-50s", tmp_path)


def test_composite_may_be_written_as_spreadsheets_do(tmp_path: Path):
    made.composite(tmp_path)
    path = tmp_path / "8k_correctness.csv"
    path.write_bytes(path.read_bytes().replace(b"text 1", b"caf\xe9", 1))
    read: Any = read_benchmark("composite", tmp_path)
    assert read.texts[1] == "café"
