"""From small archives of the authors' shape to the folder that the paper's study reads."""

from __future__ import annotations

import csv
import json
import os
import re
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from descscore.datasets.concadia import read_concadia
from descscore.datasets.kreiss2022 import read_kreiss2022
from descscore.datasets.labelled_images import class_folders, read_labelled_images
from descscore.datasets.word_ratings import read_word_ratings
from descscore.errors import OptionError
from descscore.evaluate.class_names import places_of, read_class_names
from descscore.evaluate.transfer import evaluate_transfer
from descscore_training.config import find_recipe, load_recipe
from descscore_training.study.downloads import concadia, kreiss2022, transfer
from descscore_training.study.downloads.kreiss2022 import KREISS2022
from descscore_training.study.prepare import KINDS, Preparation, Prepared, prepare
from descscore_training.study.study import Study
from tests import downloads_made as made

if TYPE_CHECKING:
    pass


@pytest.fixture
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    return made.made_downloads(tmp_path / "downloads")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def run(downloads: Path, data: Path, *paths: str) -> Preparation:
    """Make everything, or some of it."""
    kinds = [kind for kind in made.KINDS if not paths or kind.path in paths]
    return prepare(downloads, data, kinds=kinds)


def failure(downloads: Path, data: Path, path: str) -> str:
    """Why a data set failed, with nothing left where a study would look."""
    (part,) = run(downloads, data, path).parts
    assert (part.state, part.count) == ("failed", None)
    assert not (data / path).exists()
    assert part.problem is not None
    return part.problem


def files(folder: Path) -> dict[str, bytes]:
    """Everything below a folder, hidden files too."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def states(done: Preparation) -> dict[str, str]:
    return {part.path: part.state for part in done.parts}


# What is made.


def test_all_that_the_study_needs_is_made(downloads: Path, data: Path) -> None:
    lines: list[str] = []
    done = prepare(downloads, data, kinds=made.KINDS, say=lines.append)
    assert done.ready
    assert done.lacking == ()
    assert {part.path: (part.state, part.count, part.unit) for part in done.parts} == {
        "concadia": ("written", 3, "images"),
        "food101": ("written", 4, "images"),
        "imagenet": ("written", 6, "images"),
        "cifar100": ("written", 5, "images"),
        "kreiss2022": ("written", 9, "descriptions and ratings"),
        "norms/concreteness.csv": ("written", 3, "words"),
        "norms/imageability.csv": ("written", 2, "words"),
    }
    assert "concadia: reading concadia/wiki_split.json and concadia/resized.zip" in lines
    assert lines[-1].startswith("norms/imageability.csv: 2 words in ")
    assert [name for name in files(data) if ".part" in name or ".unfinished" in name] == []


def test_every_part_of_the_shipped_study_is_made_where_it_is_read() -> None:
    study = load_recipe(Study, find_recipe("paper", "reproduce"))
    assert {kind.path for kind in KINDS} == {source.path for source in study.data}


def test_images_of_the_hub_are_kept_byte_for_byte(downloads: Path, data: Path) -> None:
    run(downloads, data, "food101")
    names = ["apple_pie/00000.jpeg", "apple_pie/00001.jpeg", "waffles/00002.jpeg"]
    expected = dict(zip([*names, "waffles/00003.jpeg"], made.food101()["image"], strict=True))
    assert files(data / "food101") == expected


def test_of_cifar100_the_fine_labels_and_every_pixel_are_kept(downloads: Path, data: Path) -> None:
    run(downloads, data, "cifar100")
    labels = ["apple", "aquarium_fish", "woman", "worm", "aquarium_fish"]
    for place, label in enumerate(labels):
        with Image.open(data / "cifar100" / label / f"{place:05}.png") as image:
            np.testing.assert_array_equal(np.asarray(image), made.cifar_pixels()[place])


def test_imagenets_classes_that_share_a_word_are_told_apart(downloads: Path, data: Path) -> None:
    run(downloads, data, "imagenet")
    labels = ["crane_bird", "construction_crane", "cardigan", "Cardigan_Welsh_corgi", "tench"]
    names = [f"{label}/{row:05}.jpeg" for row, label in enumerate([*labels, "crane_bird"])]
    assert files(data / "imagenet") == dict(zip(names, made.imagenet()["image"], strict=True))
    places = places_of(class_folders(data / "imagenet").labels, read_class_names("imagenet"))
    assert len(set(places.values())) == 5


@pytest.mark.parametrize("task", ["imagenet", "cifar100", "food101"])
@pytest.mark.parametrize("with_names", [False, True])
def test_transfer_is_evaluated_on_what_was_made(
    downloads: Path, data: Path, tiny_clip: Path, task: str, with_names: bool
) -> None:
    from descscore.metric import DescriptionScore

    run(downloads, data, task)
    named = read_class_names(task) if with_names else None
    images = read_labelled_images(data / task)
    report = evaluate_transfer(DescriptionScore(tiny_clip), images, class_names=named)
    assert report.failed == ()
    assert report.candidates == (len(named.names) if named else len(images.classes))


def test_an_image_of_every_class_of_imagenet_has_a_folder_of_its_own() -> None:
    named = read_class_names("imagenet")
    folders = [name.replace(" ", "_") for name in named.names]
    assert len({folder.casefold() for folder in folders}) == 1000
    assert list(places_of(folders, named).values()) == list(range(1000))


def test_concadia_holds_the_images_that_its_texts_name(downloads: Path, data: Path) -> None:
    run(downloads, data, "concadia")
    examples = read_concadia(data / "concadia")
    assert [example.split for example in examples] == ["train", "val", "test"]
    images = made.concadia_images()
    assert files(data / "concadia" / "resized") == {
        name: images[f"resized/{name}"] for name in ("1.jpg", "2.jpg", "3.png")
    }


def test_norms_keep_words_and_digits_as_they_are(downloads: Path, data: Path) -> None:
    run(downloads, data, "norms/concreteness.csv", "norms/imageability.csv")
    concreteness = (data / "norms" / "concreteness.csv").read_text()
    assert concreteness == "word,rating\nroadsweeper,4.85\nnull,1.5\nzoom lens,4.90\n"
    assert (data / "norms" / "imageability.csv").read_text() == (
        "word,rating\nabbey,5.344\naim (target),3.600\n"
    )
    assert dict(read_word_ratings(data / "norms" / "concreteness.csv").of_word) == {
        "roadsweeper": 4.85,
        "null": 1.5,
    }


def test_norms_with_commas_are_read_too(downloads: Path, data: Path) -> None:
    (text,) = downloads.glob("Concreteness*")
    text.write_bytes(text.read_bytes().replace(b"\t", b","))
    assert run(downloads, data, "norms/concreteness.csv").parts[0].count == 3


def test_a_study_of_people_is_read_from_its_repository(downloads: Path, data: Path) -> None:
    run(downloads, data, "kreiss2022")
    study = read_kreiss2022(data / "kreiss2022")
    assert study.items.texts == {
        "church4_v1": "A church.  It is red. ",
        "church4_v4": "A building",
        "mountains9_v2": "A river, said “wide”",
    }
    assert study.items.image_names["mountains9_v2"] == "mountains9.jpeg"
    assert files(data / "kreiss2022" / "images") == {
        "church4.jpg": made.jpeg(400),
        "mountains9.jpeg": made.jpeg(401),
    }
    rated = list(
        zip(study.ratings.groups, study.ratings.items, study.ratings.questions, strict=True)
    )
    # NA is no answer.
    assert ("BLV", "mountains9_v2", "imaginability") in rated
    assert rated.count(("BLV", "mountains9_v2", "imaginability")) == 1
    assert rated.count(("BLV", "mountains9_v2", "overall")) == 2


def test_a_checkout_gives_the_same_study_as_the_zip_file(downloads: Path, data: Path) -> None:
    run(downloads, data, "kreiss2022")
    before = files(data / "kreiss2022")
    other = data.with_name("other")
    made.write_folder(other, made.kreiss2022())
    (other / "contextual-description-evaluation-main").rename(
        other / "contextual-description-evaluation"
    )
    run(other, other / "data", "kreiss2022")
    assert files(other / "data" / "kreiss2022") == before


def test_the_real_study_comes_out_of_the_authors_layout(
    shared_data: Path, tmp_path: Path, data: Path
) -> None:
    ours = shared_data / "kreiss2022"
    rows = {row["description_id"]: row for row in read(ours / "descriptions.csv")}
    about = [
        [row[c] for c in ("context", "img_id", "source_file", "description", "article_text")]
        for row in rows.values()
    ]
    tables = {
        "all_descriptions": [["context", "img_id", "img_file", "description", "article_text"]]
    }
    tables["all_descriptions"] += about
    for name, who in (("blv", "participant"), ("sighted", "anon_worker_id")):
        ratings = read(ours / f"{name}_ratings.csv")
        questions = [column for column in ratings[0] if column[:2] == "q_"]
        head = ["context", who, "trial_number", "img_id", "description", *questions, "article_text"]
        table: list[list[str]] = [head]
        for rating in ratings:
            row = rows[rating["description_id"]] | rating | {who: rating["participant"]}
            table.append([row.get(column, "") for column in head])
        tables[f"{name}_data_criticaltrials"] = table
    root = tmp_path / "authors" / "contextual-description-evaluation"
    cosid = "metrics/clipscore/cosid_data"
    texts = {}
    content = {f"behavioral_data/{k}.csv": made.table(v) for k, v in tables.items()}
    for key, row in rows.items():
        stem, _, suffix = row["source_file"].rpartition(".")
        name = f"{stem}_version{key.rpartition('_v')[2]}"
        texts[name] = row["description"]
        content[f"{cosid}/cosid_images/{name}.{suffix}"] = (
            ours / "images" / row["image"]
        ).read_bytes()
    content[f"{cosid}/cosid_descriptions.json"] = json.dumps(texts).encode()
    made.write_folder(root, content)
    (part,) = prepare(root.parent, data, kinds=[KREISS2022]).parts
    assert (part.state, part.count, part.problem) == ("written", 789, None)
    found, expected = read_kreiss2022(data / "kreiss2022"), read_kreiss2022(ours)
    assert found.items.texts == expected.items.texts
    for name in ("items", "groups", "questions"):
        assert getattr(found.ratings, name) == getattr(expected.ratings, name)
    np.testing.assert_array_equal(found.ratings.values, expected.ratings.values)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def unpacked(downloads: Path) -> Path:
    """The downloads with Concadia's images in a folder."""
    (downloads / "concadia" / "resized.zip").unlink()
    made.write_folder(downloads / "concadia", made.concadia_images())
    return downloads


def test_an_unpacked_folder_does_as_well(
    downloads: Path, data: Path, request: pytest.FixtureRequest
) -> None:
    run(downloads, data, "concadia")
    other = data.with_name("other")
    run(request.getfixturevalue("unpacked"), other, "concadia")
    assert files(other / "concadia") == files(data / "concadia")


# Called again.


def test_a_second_run_leaves_everything_as_it_is(downloads: Path, data: Path) -> None:
    run(downloads, data)
    times = {path: path.stat().st_mtime_ns for path in data.rglob("*")}
    for path in downloads.rglob("*"):
        if path.is_file():
            path.unlink()
    done = run(downloads, data)
    assert done.ready
    assert set(states(done).values()) == {"there"}
    assert {path: path.stat().st_mtime_ns for path in data.rglob("*")} == times


@pytest.mark.parametrize("path", ["food101", "imagenet", "cifar100", "concadia", "kreiss2022"])
def test_an_interrupted_run_goes_on_and_ends_the_same(
    downloads: Path, data: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    whole = data.with_name("whole")
    run(downloads, whole, path)
    written: list[Path] = []

    def stop(file: Path, content: bytes) -> None:
        if len(written) == 1:
            file.write_bytes(b"half")
            raise KeyboardInterrupt
        written.append(file)
        file.write_bytes(content)

    with monkeypatch.context() as patched:
        for module in (concadia, kreiss2022, transfer):
            patched.setattr(module, "write_whole", stop)
        with pytest.raises(KeyboardInterrupt):
            run(downloads, data, path)
    assert not (data / path).exists()
    (part,) = run(downloads, data, path).parts
    assert part.state == "written"
    assert files(data) == files(whole)


def test_a_file_cut_short_by_an_interruption_is_written_again(downloads: Path, data: Path) -> None:
    half = data / ".food101.unfinished" / "waffles" / "00003.jpeg"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half")
    run(downloads, data, "food101")
    whole = made.food101()["image"][3]
    assert (data / "food101" / "waffles" / "00003.jpeg").read_bytes() == whole


def test_a_link_that_an_interruption_left_is_not_written_through(
    downloads: Path, data: Path
) -> None:
    mine = data.parent / "mine.jpg"
    mine.write_bytes(b"mine")
    half = data / ".food101.unfinished" / "waffles" / ".00003.jpeg.part"
    half.parent.mkdir(parents=True)
    os.link(mine, half)
    run(downloads, data, "food101")
    assert len(files(data / "food101")) == 4
    assert mine.read_bytes() == b"mine"


def test_what_another_download_left_makes_no_class(downloads: Path, data: Path) -> None:
    made.write_folder(
        data / ".food101.unfinished", {"baklava/7.jpg": b"other", "churros/.x.part": b""}
    )
    run(downloads, data, "food101")
    folders = class_folders(data / "food101")
    assert folders.classes == sorted(set(folders.labels)) == ["apple_pie", "waffles"]


def test_what_is_there_but_not_whole_is_named_and_left(downloads: Path, data: Path) -> None:
    made.write_folder(data / "food101", {"waffles/0.jpg": b"mine"})
    made.write_folder(data / "norms", {"concreteness.csv": b"word,rating\ncat,5\n"})
    done = run(downloads, data, "food101", "norms/concreteness.csv")
    assert [part.state for part in done.parts] == ["failed", "failed"]
    assert "food101 has 1 images, not 4; move " in str(done.parts[0].problem)
    assert "concreteness.csv has 1 words, not 3; move " in str(done.parts[1].problem)
    assert files(data / "food101") == {"waffles/0.jpg": b"mine"}


def test_folders_named_by_wordnet_ids_are_refused(downloads: Path, data: Path) -> None:
    images = {f"n01440764/{n}.JPEG": made.jpeg(n) for n in range(6)}
    made.write_folder(data / "imagenet", images)
    (part,) = run(downloads, data, "imagenet").parts
    assert part.state == "failed"
    assert "the class 'n01440764' is no word for a prompt; name its folder 'tench'" in str(
        part.problem
    )


# What is wrong.


def test_what_is_missing_says_what_to_download_and_where(tmp_path: Path, data: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = run(tmp_path / "empty", data)
    assert set(states(done).values()) == {"missing"}
    assert not done.ready
    assert "food101" in done.lacking
    addresses = {
        source.path: source.address
        for source in load_recipe(Study, find_recipe("paper", "reproduce")).data
    }
    assert {part.path: part.address for part in done.parts} == addresses
    assert all(str(part.problem).startswith("download ") for part in done.parts)


def test_reduced_downloads_are_taken_if_asked_for(downloads: Path, data: Path) -> None:
    whole = prepare(downloads, data, kinds=KINDS, reduced=True)
    assert {part.state for part in whole.parts} == {"written"}
    again = prepare(downloads, data, kinds=KINDS, reduced=True)
    assert {part.state for part in again.parts} == {"there"}
    refused = prepare(downloads, data, kinds=KINDS)
    failed = {part.path for part in refused.parts if part.state == "failed"}
    # Concadia says itself how many images it has.
    assert failed == {part.path for part in whole.parts} - {"concadia"}


def test_there_must_be_a_folder_of_downloads(tmp_path: Path, data: Path) -> None:
    with pytest.raises(OptionError, match=r"there is no folder .*nowhere; give the one with the"):
        prepare(tmp_path / "nowhere", data)
    assert not data.exists()


def test_one_that_fails_does_not_keep_the_others_from_being_made(
    downloads: Path, data: Path
) -> None:
    (parquet,) = (downloads / "food101").rglob("*.parquet")
    parquet.write_bytes(b"<html>Please log in</html>")
    (downloads / "concadia" / "resized.zip").unlink()
    done = run(downloads, data)
    assert not done.ready
    failed = {part.path for part in done.parts if not part.done}
    assert failed == {"food101", "concadia"}
    assert set(states(done).values()) == {"failed", "written"}
    assert failed <= {path.split("/")[0] for path in done.lacking}


CUT = [
    ("concadia/resized.zip", "concadia"),
    ("contextual-description-evaluation-main.zip", "kreiss2022"),
]


@pytest.mark.parametrize(("archive", "path"), CUT)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7])
def test_an_archive_that_is_cut_short_is_no_success(
    downloads: Path, data: Path, archive: str, path: str, share: float
) -> None:
    content = (downloads / archive).read_bytes()
    (downloads / archive).write_bytes(content[: int(share * len(content))])
    problem = failure(downloads, data, path)
    assert Path(archive).name in problem
    assert "download it again" in problem


def test_what_is_refused_leaves_nothing_behind(downloads: Path, data: Path) -> None:
    made.write_dataset(downloads, "food101", {k: v[:3] for k, v in made.food101().items()})
    assert "has 3 images, not 4" in failure(downloads, data, "food101")
    (text,) = downloads.glob("Concreteness*")
    text.write_bytes(text.read_bytes() + b"more\t0\t2\n")
    failure(downloads, data, "norms/concreteness.csv")
    assert files(data) == {}


def test_a_changed_byte_in_a_packed_archive_is_found(downloads: Path, data: Path) -> None:
    archive = downloads / "concadia" / "resized.zip"
    content = bytearray(archive.read_bytes())
    content[200] ^= 255
    archive.write_bytes(content)
    assert "is damaged" in failure(downloads, data, "concadia")


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_a_dataset_that_is_cut_short_is_no_success(
    downloads: Path, data: Path, share: float
) -> None:
    (parquet,) = (downloads / "imagenet").rglob("*.parquet")
    content = parquet.read_bytes()
    parquet.write_bytes(content[: int(share * len(content))])
    assert "cannot be loaded" in failure(downloads, data, "imagenet")
    parquet.write_bytes(content)
    assert run(downloads, data, "imagenet").parts[0].state == "written"


def test_a_login_page_in_place_of_an_archive_is_no_archive(downloads: Path, data: Path) -> None:
    (downloads / "concadia" / "resized.zip").write_bytes(b"<html>Please log in</html>" * 100)
    problem = failure(downloads, data, "concadia")
    assert re.search(r"resized.zip is damaged, was not .* or is not an archive", problem)


OUT = ["../../escaped.jpg", "/tmp/escaped.jpg", "images/../../escaped.jpg", "C:\\escaped.jpg"]


@pytest.mark.parametrize("name", OUT)
def test_what_lies_outside_of_the_archives_folder_is_not_written(
    downloads: Path, data: Path, name: str
) -> None:
    evil = {name: made.jpeg(0)}
    made.write_zip(downloads / "concadia" / "resized.zip", evil | made.concadia_images())
    assert run(downloads, data, "concadia").parts[0].count == 3
    assert list(data.parent.rglob("*escaped*")) == []


@pytest.mark.parametrize("name", ["../1.jpg", "/etc/1.jpg", "..", "a/1.jpg", "a\\1.jpg", "C:1.jpg"])
def test_texts_that_name_an_image_elsewhere_are_refused(
    downloads: Path, data: Path, name: str
) -> None:
    texts = downloads / "concadia" / "wiki_split.json"
    texts.write_bytes(made.concadia_texts(["1.jpg", name, "3.png"]))
    assert "which is not a file in resized/" in failure(downloads, data, "concadia")


def test_links_in_an_archive_are_not_followed(downloads: Path, data: Path) -> None:
    content = made.concadia_images()
    del content["resized/2.jpg"]
    made.write_zip(downloads / "concadia" / "resized.zip", content)
    with zipfile.ZipFile(downloads / "concadia" / "resized.zip", "a") as archive:
        link = zipfile.ZipInfo("resized/2.jpg")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    assert (
        "resized lacks 1 of the 3 images that wiki_split.json names, 2.jpg first; download it"
        in failure(downloads, data, "concadia")
    )


def without(content: dict[str, bytes], name: str) -> dict[str, bytes]:
    return {key: value for key, value in content.items() if not key.endswith(name)}


def changed(content: dict[str, bytes], name: str, new: bytes) -> dict[str, bytes]:
    return {key: new if key.endswith(name) else value for key, value in content.items()}


@pytest.mark.parametrize(
    ("archive", "content", "path", "says"),
    [
        (
            "concadia/resized.zip",
            without(made.concadia_images(), "resized/2.jpg"),
            "concadia",
            "resized lacks 1 of the 3 images that wiki_split.json names, 2.jpg first; download",
        ),
        (
            "contextual-description-evaluation-main.zip",
            without(made.kreiss2022(), "blv_data_criticaltrials.csv"),
            "kreiss2022",
            "has no behavioral_data/blv_data_criticaltrials.csv",
        ),
        (
            "contextual-description-evaluation-main.zip",
            changed(made.kreiss2022(), "blv_data_criticaltrials.csv", b"img_id,description\na,b\n"),
            "kreiss2022",
            "blv_data_criticaltrials.csv in .* is not as the study's",
        ),
        (
            "contextual-description-evaluation-main.zip",
            {k: v for k, v in made.kreiss2022().items() if "River" not in k},
            "kreiss2022",
            "main.zip has . descriptions and ratings, not 9; download it again",
        ),
    ],
)
def test_an_archive_with_other_contents_says_what_was_found(
    downloads: Path,
    data: Path,
    archive: str,
    content: dict[str, bytes],
    path: str,
    says: str,
) -> None:
    made.write_zip(downloads / archive, content)
    assert re.search(says, failure(downloads, data, path))


@pytest.mark.parametrize(
    ("task", "changed", "names", "says"),
    [
        (
            "food101",
            {"image": [made.jpeg(0)] * 3, "label": [0] * 3},
            None,
            "food101 has 3 images, not 4",
        ),
        ("food101", {"image": [b"x"] * 4, "label": [0] * 4}, None, "row 1 of .* is no image"),
        ("food101", {"image": [None] * 4, "label": [0] * 4}, None, "row 1 of .* has no image"),
        ("food101", made.food101() | {"label": [0] * 4}, ["pie"], "not in food101.*: 'pie'"),
        ("imagenet", made.imagenet() | {"label": [0] * 6}, ["tench"], "imagenet names 1000"),
        ("cifar100", {"img": [b""] * 5, "label": [0] * 5}, None, "has no column 'fine_label'"),
    ],
)
def test_a_dataset_with_other_contents_says_what_was_found(
    downloads: Path,
    data: Path,
    task: str,
    changed: dict[str, list[Any]],
    names: list[str] | None,
    says: str,
) -> None:
    made.write_dataset(downloads, task, changed, names)
    assert re.search(says, failure(downloads, data, task))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (b"roadsweeper", b"", "rates '' with '4.85'"),
        (b"4.85", b"5.85", "rates 'roadsweeper' with '5.85', where a number from 1 to 5 should be"),
        (b"4.85", b"nan", "rates 'roadsweeper' with 'nan'"),
        (b"Conc.M", b"Rating", "has no columns Word and Conc.M, but Word, Bigram, Rating"),
        (b"\nnull", b"\nnull\t0\t2\nnull", "has 4 words, not 3; download it again"),
        (b"roadsweeper", b"\xff", "is not UTF-8"),
    ],
)
def test_a_table_with_other_contents_says_what_was_found(
    downloads: Path, data: Path, old: bytes, new: bytes, says: str
) -> None:
    (text,) = downloads.glob("Concreteness*")
    text.write_bytes(text.read_bytes().replace(old, new))
    assert says in failure(downloads, data, "norms/concreteness.csv")


def test_a_table_without_its_second_header_is_refused(downloads: Path, data: Path) -> None:
    (text,) = downloads.glob("13428*")
    lines = text.read_bytes().splitlines(keepends=True)
    text.write_bytes(b"".join([lines[0], *lines[2:]]))
    assert "in its two header rows" in failure(downloads, data, "norms/imageability.csv")


def test_half_of_a_pair_of_downloads_says_which_half(downloads: Path, data: Path) -> None:
    (downloads / "concadia" / "wiki_split.json").unlink()
    assert "resized.zip is there, but not all of wiki_split.json and resized.zip" in failure(
        downloads, data, "concadia"
    )


def test_a_folder_that_cannot_be_written_fails_its_parts_alone(downloads: Path, data: Path) -> None:
    data.mkdir(exist_ok=True)
    (data / "norms").write_text("a file where a folder should be")
    done = run(downloads, data)
    assert {p.path for p in done.parts if not p.done} == {k.path for k in KINDS if "/" in k.path}


def test_an_error_of_the_system_is_told_as_one_line(
    downloads: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "a file")

    monkeypatch.setattr(os, "fsync", full)
    problem = failure(downloads, data, "concadia")
    assert re.search(r"concadia.*\.jpg cannot be written \(No space left on device\)", problem)


def test_long_work_says_how_far_it_is(
    downloads: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("descscore.heartbeat.SECONDS", 0.01)
    lines: list[str] = []

    def slow(file: Path, content: bytes) -> None:
        file.write_bytes(content)
        time.sleep(0.1)

    monkeypatch.setattr(concadia, "write_whole", slow)
    prepare(downloads, data, kinds=[concadia.CONCADIA], say=lines.append)
    assert any(re.fullmatch(r"concadia: \d files so far", line) for line in lines)


def test_whether_a_part_is_done_goes_by_its_state() -> None:
    done = [Prepared(path="a", state=state, unit="images").done for state in ("written", "there")]
    left = [Prepared(path="a", state=state, unit="images").done for state in ("missing", "failed")]
    assert (done, left) == ([True, True], [False, False])
