"""Zero-shot classification of labelled images, wherever they are from."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import f1_score

from descscore import DescriptionScore
from descscore.checkpoints.store import SHIPPED
from descscore.datasets.hub_images import read_hub_images
from descscore.datasets.labelled_images import class_folders, read_labelled_images
from descscore.errors import ImageError, OptionError, PairingError, TableError
from descscore.evaluate import transfer as module
from descscore.evaluate.class_names import read_class_names
from descscore.evaluate.classification import weighted_macro_f1
from descscore.evaluate.transfer import classify, evaluate_transfer
from descscore_training.finetune_recipe import TransferSource
from descscore_training.measure import measure_transfer
from descscore_training.validation import TransferTask

COLOURS = {"red_thing": (200, 20, 20), "green": (20, 190, 40), "blue": (30, 30, 200)}


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Four images of each of three colours, in class folders."""
    random = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(4):
            pixels = np.array(colour) + random.integers(0, 50, (32, 32, 3))
            image = Image.fromarray(pixels.astype(np.uint8))
            image.save(tmp_path / "data" / name / f"{i}.png")
    return tmp_path / "data"


@pytest.fixture
def metric(tiny_clip: Path) -> DescriptionScore:
    return DescriptionScore(tiny_clip, on_error="record", num_workers=0)


def test_the_figures_are_those_of_pairwise_scores(folders: Path, metric: DescriptionScore):
    images = read_labelled_images(folders)
    found = evaluate_transfer(metric, images)
    cosines = DescriptionScore(metric.checkpoint.folder, scale="cosine", num_workers=0)
    names = ["blue", "green", "red thing"]
    scores = cosines(list(images.read()), [f"An image of {n}" for n in names], pairwise=True).scores
    truth = np.repeat([0, 1, 2], 4)
    assert found.transfer == classify(scores, truth)
    taken = scores.argmax(1)
    assert found.transfer.macro_f1 == pytest.approx(f1_score(truth, taken, average="macro"))
    assert [result.found for result in found.per_class] == np.bincount(taken, minlength=3).tolist()
    assert [(result.label, result.name) for result in found.per_class] == [
        ("blue", "blue"),
        ("green", "green"),
        ("red_thing", "red thing"),
    ]
    assert found.macro_f1.low <= found.transfer.macro_f1 <= found.macro_f1.high
    assert (found.failed, found.without_images, found.candidates) == ((), (), 3)


def test_images_in_parts_give_the_same(
    folders: Path, metric: DescriptionScore, monkeypatch: pytest.MonkeyPatch
):
    whole = evaluate_transfer(metric, read_labelled_images(folders))
    monkeypatch.setattr(module, "_IMAGES_AT_ONCE", 5)
    steps = []
    parts = evaluate_transfer(
        metric, read_labelled_images(folders), progress=lambda *step: steps.append(step)
    )
    assert parts.per_class == whole.per_class
    assert steps == [(5, 12), (10, 12), (12, 12)]


def test_an_ensemble_is_the_mean_of_unit_embeddings_made_unit(
    folders: Path, metric: DescriptionScore
):
    templates = ["a photo of a {c}.", "An image of {label}", "{c}"]
    images = read_labelled_images(folders)
    vectors = metric.embed_images(list(images.read())).values
    of_class = []
    for name in ["blue", "green", "red thing"]:
        texts = [f"a photo of a {name}.", f"An image of {name}", name]
        mean = metric.embed_texts(texts).values.mean(0)
        of_class.append(mean / np.linalg.norm(mean))
    expected = classify(vectors @ np.array(of_class).T, np.repeat([0, 1, 2], 4))
    assert evaluate_transfer(metric, images, templates=templates).transfer == expected


def test_the_shipped_checkpoint_has_the_f1_of_its_card_on_cifar10(
    shared_data: Path, tmp_path: Path
):
    card = json.loads((SHIPPED["mini"] / "descscore_config.json").read_text(encoding="utf-8"))
    expected = card["measured"]["cifar10 test"]["macro_f1"]
    part = tmp_path / "part.zip"
    with ZipFile(shared_data / "cifar10.zip") as whole, ZipFile(part, "w") as tenth:
        names = sorted(name for name in whole.namelist() if name.startswith("test/"))
        for name in [name for name in names if name.endswith(".jpg")][::10]:
            tenth.writestr(name, whole.read(name))
    metric = DescriptionScore(batch_size=256, on_error="record")
    found = evaluate_transfer(metric, read_labelled_images(part, under="test"))
    assert found.transfer.n == 1000
    # The standard error of a share of 1,000 is about 0.0136.
    assert found.transfer.macro_f1 == pytest.approx(expected, abs=3 * 0.0136)
    assert found.macro_f1.high - found.macro_f1.low == pytest.approx(2 * 1.96 * 0.0136, rel=0.2)


def test_classes_without_images_can_be_chosen_and_are_said(
    folders: Path, metric: DescriptionScore, tmp_path: Path
):
    (folders / "empty").mkdir()
    found = evaluate_transfer(metric, read_labelled_images(folders))
    assert (found.without_images, found.candidates, found.transfer.classes) == (("empty",), 4, 3)
    (tmp_path / "names.txt").write_text("blue\ngreen\nred_thing\tred\nempty\nyellow\n")
    named = read_class_names(tmp_path / "names.txt")
    found = evaluate_transfer(metric, read_labelled_images(folders), class_names=named)
    assert found.without_images == ("empty", "yellow")
    assert [result.recall is None for result in found.per_class] == [False] * 3 + [True] * 2


@pytest.mark.parametrize("form", ["folder", "zip"])
@pytest.mark.parametrize("under", ["", "part"])
def test_files_in_no_class_folder_are_skipped_and_named(
    folders: Path, tmp_path: Path, form: str, under: str
):
    """Beside class folders, and in folders inside them."""
    for name in ("README.txt", "blue/notes/old.png", "deep/er/1.png"):
        (folders / name).parent.mkdir(parents=True, exist_ok=True)
        (folders / name).write_text("nothing to see")
    source = folders if not under else folders.rename(tmp_path / under).parent
    if form == "zip":
        with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
            root = source / under
            for file in sorted(root.rglob("*")):
                if file.is_file():
                    archive.write(file, file.relative_to(source))
        source = tmp_path / "images.zip"
    found = read_labelled_images(source, under=under)
    assert list(found.classes) == ["blue", "deep", "green", "red_thing"]
    assert (len(found.labels), set(found.labels)) == (12, {"blue", "green", "red_thing"})
    names = ["README.txt", "blue/notes/old.png", "deep/er/1.png"]
    assert list(found.beside) == [f"{under}/{name}" if under else name for name in names]


def test_empty_class_folders_count_alike_in_cards_validation_and_studies(
    folders: Path, metric: DescriptionScore
):
    for name in ("empty", "void"):
        (folders / name).mkdir()
    found = evaluate_transfer(metric, read_labelled_images(folders))
    assert found.candidates == 5
    # Model cards and studies; on the same embeddings.
    measured = measure_transfer(metric, read_labelled_images(folders))
    assert measured["macro_f1"] == found.transfer.macro_f1 == found.macro_f1.value
    source = TransferSource(name="made", path=folders.name)
    prompts = TransferTask(source, folders.parent).prompts
    assert prompts == [f"An image of {one.label.replace('_', ' ')}" for one in found.per_class]


def test_what_cannot_be_read_is_left_out_and_named(folders: Path, metric: DescriptionScore):
    (folders / "blue" / "broken.png").write_bytes(b"no image")
    (folders / "blue" / ".DS_Store").write_bytes(b"hidden")
    found = evaluate_transfer(metric, read_labelled_images(folders))
    assert [failure.item for failure in found.failed] == ["blue/broken.png"]
    assert "not in an image format" in found.failed[0].error
    assert found.transfer.n == 12
    strict = DescriptionScore(metric.checkpoint.folder, num_workers=0)
    with pytest.raises(ImageError, match="not in an image format"):
        evaluate_transfer(strict, read_labelled_images(folders))


def test_a_damaged_image_in_a_zip_file_is_left_out_and_named(
    folders: Path, metric: DescriptionScore, tmp_path: Path
):
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folders.rglob("*.png")):
            archive.write(file, file.relative_to(folders))
        archive.mkdir("empty")
        place = archive.getinfo("green/2.png").header_offset + 80
    content = bytearray(path.read_bytes())
    content[place] ^= 255
    path.write_bytes(content)
    found = evaluate_transfer(metric, read_labelled_images(path))
    assert [failure.item for failure in found.failed] == ["green/2.png"]
    assert "Bad CRC-32" in found.failed[0].error
    assert (found.transfer.n, found.without_images) == (11, ("empty",))
    with pytest.raises(ImageError, match=r"image 'green/2.png' is damaged"):
        list(class_folders(path).read_all())


def test_a_part_without_any_image_that_can_be_read_is_left_out_and_named(
    folders: Path, metric: DescriptionScore, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "_IMAGES_AT_ONCE", 4)
    whole = read_labelled_images(folders)
    locked = ImageError("cannot be unpacked")
    # Names are sorted: the first four images are the blue ones.
    some = replace(whole, read=lambda: iter([*[locked] * 4, *list(whole.read())[4:]]))
    found = evaluate_transfer(metric, some)
    assert [failure.item for failure in found.failed] == list(whole.names[:4])
    assert (found.transfer.n, found.without_images) == (8, ("blue",))
    none = replace(whole, read=lambda: iter([locked] * 12))
    with pytest.raises(ImageError, match=r"no image of .* can be read; the first: blue/0.png can"):
        evaluate_transfer(metric, none)


def test_a_table_gives_what_its_folders_give(
    folders: Path, metric: DescriptionScore, tmp_path: Path
):
    rows = [f"{file.relative_to(tmp_path)},{file.parent.name}" for file in folders.rglob("*.png")]
    lines = ["image,label", *sorted(rows), "nowhere.png,blue", "data/blue/0.png,", ",blue"]
    (tmp_path / "images.csv").write_text("\n".join(lines) + "\n")
    found = evaluate_transfer(metric, read_labelled_images(tmp_path / "images.csv"))
    assert found.transfer == evaluate_transfer(metric, read_labelled_images(folders)).transfer
    assert [failure.item.rpartition("/")[2] for failure in found.failed] == [
        "row 14",
        "row 15",
        "nowhere.png",
    ]


def test_numbers_are_classes_by_their_position(
    folders: Path, metric: DescriptionScore, tmp_path: Path
):
    numbers = {"blue": 2, "green": 10, "red_thing": 0}
    rows = [f"{f.relative_to(tmp_path)},{numbers[f.parent.name]}" for f in folders.rglob("*.png")]
    (tmp_path / "images.csv").write_text("\n".join(["image,label", *rows]) + "\n")
    names = [f"other {i}" for i in range(11)]
    for name, number in numbers.items():
        names[number] = name
    (tmp_path / "names.txt").write_text("\n".join(names))
    named = read_class_names(tmp_path / "names.txt")
    images = read_labelled_images(tmp_path / "images.csv")
    assert list(images.classes) == ["0", "2", "10"]
    by_number = evaluate_transfer(metric, images, class_names=named, by_position=True)
    by_name = evaluate_transfer(metric, read_labelled_images(folders), class_names=named)
    assert by_number.transfer == by_name.transfer


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_a_data_set_of_the_hubs_library_gives_what_its_folders_give(
    folders: Path, metric: DescriptionScore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import datasets

    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    expected = evaluate_transfer(metric, read_labelled_images(folders)).transfer
    loaded = read_hub_images(str(folders), split="train", local_files_only=True)
    assert list(loaded.classes) == ["blue", "green", "red_thing"]
    assert evaluate_transfer(metric, loaded).transfer == expected
    whole = datasets.load_dataset(str(folders), split="train")
    datasets.DatasetDict({"test": whole}).save_to_disk(tmp_path / "saved")
    assert evaluate_transfer(metric, read_hub_images(str(tmp_path / "saved"))).transfer == expected
    with pytest.raises(TableError, match="has no split 'val', only test"):
        read_hub_images(str(tmp_path / "saved"), split="val")
    with pytest.raises(TableError, match="has no column 'img'; it has 'image', 'label'"):
        read_hub_images(str(tmp_path / "saved"), image_column="img")
    with pytest.raises(TableError, match="not images"):
        read_hub_images(str(tmp_path / "saved"), image_column="label")
    with pytest.raises(TableError, match="cannot be loaded"):
        read_hub_images("nobody/nothing", local_files_only=True)


def test_ties_are_counted(folders: Path, metric: DescriptionScore, monkeypatch: pytest.MonkeyPatch):
    # A checkpoint that gives every text one embedding scores every class alike.
    texts = metric.embed_texts(["one", "two", "three"]).values
    monkeypatch.setattr(module, "_embed_classes", lambda *_: np.repeat(texts[:1], 3, axis=0))
    found = evaluate_transfer(metric, read_labelled_images(folders))
    assert found.ties == 12
    assert found.transfer.accuracy == pytest.approx(1 / 3)


def test_what_cannot_be_classified_is_refused(
    folders: Path, metric: DescriptionScore, tmp_path: Path
):
    images = read_labelled_images(folders)
    with pytest.raises(OptionError, match="no placeholder"):
        evaluate_transfer(metric, images, templates=["An image"])
    with pytest.raises(OptionError, match="no template"):
        evaluate_transfer(metric, images, templates=[])
    with pytest.raises(OptionError, match="need a class-name file"):
        evaluate_transfer(metric, images, by_position=True)
    with pytest.raises(OptionError, match="is a table"):
        read_labelled_images(tmp_path / "images.csv", under="test")
    for name in ("green", "red_thing"):
        for file in (folders / name).iterdir():
            file.unlink()
        (folders / name).rmdir()
    with pytest.raises(OptionError, match="has one class, 'blue'"):
        evaluate_transfer(metric, read_labelled_images(folders))
    (folders / "Blue").mkdir()
    (folders / "Blue" / "0.png").write_bytes(b"no image")
    with pytest.raises(OptionError, match=r"class 'Blue' and class 'blue' of .* both name"):
        evaluate_transfer(metric, read_labelled_images(folders))
    (folders / "Blue").rename(folders / "\u200b")
    with pytest.raises(OptionError, match="without visible characters; give"):
        evaluate_transfer(metric, read_labelled_images(folders))
    (folders / "\u200b").rename(folders / "broken")
    for file in (folders / "blue").iterdir():
        file.write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"no image of .* can be read; the first: blue/0.png"):
        evaluate_transfer(metric, read_labelled_images(folders))
    with pytest.raises(PairingError, match="labels go to 3"):
        classify(np.zeros((1, 3)), np.array([3]))


def test_resamples_have_the_f1_of_the_images_drawn():
    random = np.random.default_rng(1)
    truth, found = random.integers(4, size=(2, 30))
    drawn = random.integers(30, size=(5, 30))
    weights = np.stack([np.bincount(row, minlength=30) for row in drawn]).astype(float)
    for value, rows in zip(weighted_macro_f1(truth, found, 6)(weights), drawn, strict=True):
        classes = np.unique(truth[rows])
        expected = f1_score(
            truth[rows], found[rows], labels=classes, average="macro", zero_division=0
        )
        assert value == pytest.approx(expected)
