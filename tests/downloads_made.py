"""What the sources of the paper's data distribute, in small: files of the same shape."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from descscore.evaluate.class_names import read_class_names
from descscore_training.study.prepare import KINDS as REAL_KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FOODS = ("apple_pie", "waffles")
WNIDS = ("n02012849", "n03126707", "n02963159", "n02113186", "n01440764")
"""Bird, machine, garment, dog and fish: the first two share a word, and so do the next two."""

AMOUNTS = {
    "concadia": None,
    "food101": 4,
    "imagenet": 6,
    "cifar100": 5,
    "kreiss2022": 3 + 4 + 2,
    "norms/concreteness.csv": 3,
    "norms/imageability.csv": 2,
}
KINDS = tuple(replace(kind, amount=AMOUNTS[kind.path]) for kind in REAL_KINDS)
"""The data sets, with as many items as are made here."""


def jpeg(seed: int, side: int = 40) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


def write_zip(path: Path, files: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)


def table(rows: Sequence[Sequence[object]], delimiter: str = ",") -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows(rows)
    return text.getvalue().encode()


def food101() -> dict[str, list[Any]]:
    """Two images of each of two classes."""
    labels = [0, 0, 100, 100]
    return {"image": [jpeg(n) for n in range(4)], "label": labels}


CIFAR_LABELS = (0, 1, 98, 99, 1)


def cifar_pixels() -> np.ndarray:
    """Five images [5,32,32,3]."""
    return np.random.default_rng(5).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)


def cifar100() -> dict[str, list[Any]]:
    """Images as PNG files, with the label that is evaluated and the coarse one."""
    images = []
    for pixels in cifar_pixels():
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        images.append(file.getvalue())
    return {"img": images, "fine_label": list(CIFAR_LABELS), "coarse_label": [0] * len(images)}


def imagenet() -> dict[str, list[Any]]:
    """A bird, a machine, a garment, a fish, a dog, and a second bird.

    The first two share a word, and so do the garment and the dog.
    """
    keys = read_class_names("imagenet").keys
    labels = [keys[wnid] for wnid in (*WNIDS, WNIDS[0])]
    return {"image": [jpeg(100 + n) for n in range(len(labels))], "label": labels}


def class_names(task: str) -> list[str]:
    """What the Hub calls the classes: ImageNet's by all their synonyms."""
    names = [name.replace(" ", "_") for name in read_class_names(task).names]
    return [f"{name}, a synonym" for name in names] if task == "imagenet" else names


def write_dataset(
    downloads: Path, task: str, rows: dict[str, list[Any]], names: list[str] | None = None
) -> None:
    """A split of a dataset as the Hub has it: a parquet file whose columns know what they are."""
    import datasets
    import pyarrow as pa
    from pyarrow import parquet

    label = datasets.ClassLabel(names=class_names(task) if names is None else names)
    features = {
        column: datasets.Image() if column in {"image", "img"} else label for column in rows
    }
    split = "test" if task == "cifar100" else "validation"
    values = {
        column: [{"bytes": value, "path": None} for value in of_rows]
        if column in {"image", "img"}
        else of_rows
        for column, of_rows in rows.items()
    }
    (downloads / task / "data").mkdir(parents=True, exist_ok=True)
    schema = datasets.Features(features).arrow_schema
    path = downloads / task / "data" / f"{split}-00000-of-00001.parquet"
    parquet.write_table(pa.table(values, schema=schema), path)


def concadia_texts(names: Sequence[str] = ("1.jpg", "2.jpg", "3.png")) -> bytes:
    entries = [
        {
            "filename": name,
            "split": split,
            "description": {"raw": f"A picture {name}", "tokens": ["A"]},
            "caption": {"raw": f"The day of {name}", "tokens": ["The"]},
        }
        for name, split in zip(names, ["train", "val", "test"], strict=True)
    ]
    return json.dumps({"images": entries}).encode()


def concadia_images() -> dict[str, bytes]:
    files = {f"resized/{name}": jpeg(200 + i) for i, name in enumerate(["1.jpg", "2.jpg", "3.png"])}
    return files | {"__MACOSX/resized/._1.jpg": b"fork", "resized/9.jpg": jpeg(300)}


def concreteness() -> bytes:
    rows = [
        ["Word", "Bigram", "Conc.M", "Conc.SD", "Unknown", "Total"],
        ["roadsweeper", 0, 4.85, 0.37, 1, 27],
        ["null", 0, 1.5, 0.9, 0, 28],
        ["zoom lens", 1, "4.90", 0.3, 0, 28],
    ]
    return table(rows, "\t")


def imageability() -> bytes:
    return table(
        [
            ["Words", "Length", "CNC", "", "", "IMAG", "", "", "FAM", "", ""],
            ["", "", *["M", "SD", "N"] * 3],
            ["abbey", 5, 6.1, 0.9, 33, 5.344, 1.5, 32, 4.0, 1.7, 35],
            ["aim (target)", 12, 3.2, 0.9, 33, "3.600", 1.5, 32, 4.9, 1.7, 35],
        ]
    )


def kreiss2022() -> dict[str, bytes]:
    """Three rated descriptions of two images, one that only sighted people rated, and a check."""
    church, river = "Dreifaltigkeitskirche_süd.jpg", "River,_2016.JPEG"
    about = "Roof", "An article."
    texts = {
        "Dreifaltigkeitskirche_süd_version1": "A church.  It is red.",
        "Dreifaltigkeitskirche_süd_version4": "A building",
        "River,_2016_version2": "A river, said “wide”",
        "guitar": "A guitar",
    }
    of_text = list(texts.values())
    answers = ["NA", 2, 3, 4, 5]
    blv_head = "context,participant,img_id,description,q_reconstructivity,q_relevance,q_irrelevance"
    blv = [
        [*blv_head.split(","), "q_imgfit", "q_overall", "article_text"],
        [about[0], "p1", "church4", of_text[0] + " ", 1, 2, 3, 4, 5, about[1]],
        [about[0], "p2", "church4", of_text[1], 2, 2, 2, 2, 2, about[1]],
        [about[0], "p1", "mountains9", of_text[2], *answers, about[1]],
        [about[0], "p2", "mountains9", of_text[2], 5, 5, 5, 5, 5, about[1]],
    ]
    questions = ["q_overall.preimg", "q_overall.postimg", "q_reconstructivity.preimg"]
    for question in ("relevance", "irrelevance", "imgfit"):
        questions += [f"q_{question}.preimg", f"q_{question}.postimg"]
    head = ["context", "anon_worker_id", "trial_number", "img_id", "img_file", "description"]
    nine = list(range(1, 6)) + list(range(1, 5))
    sighted = [
        [*head, *questions, "article_text"],
        [about[0], "007", 3, "church4", church, of_text[0], *nine, about[1]],
        [about[0], "007", 4, "church4", church, "Only sighted people read this", *nine, about[1]],
        [about[0], "008", 5, "mountains9", river, of_text[2], *nine, about[1]],
    ]
    every = [["context", "img_id", "img_file", "description", "article_text"]]
    every += [[about[0], row[3], row[4], row[5], about[1]] for row in sighted[1:]]
    pictures = "metrics/clipscore/cosid_data/cosid_images"
    files = {
        "README.md": b"# The study",
        "behavioral_data/all_descriptions.csv": table(every),
        "behavioral_data/blv_data_criticaltrials.csv": table(blv),
        "behavioral_data/sighted_data_criticaltrials.csv": table(sighted),
        "behavioral_experiments/writing/data/River,_2016.JPEG": b"a smaller one",
        "metrics/clipscore/cosid_data/cosid_descriptions.json": json.dumps(texts).encode(),
        f"{pictures}/Dreifaltigkeitskirche_süd_version1.jpg": jpeg(400),
        f"{pictures}/Dreifaltigkeitskirche_süd_version4.jpg": jpeg(400),
        f"{pictures}/River,_2016_version2.JPEG": jpeg(401),
        f"{pictures}/guitar.png": jpeg(402),
    }
    return {f"contextual-description-evaluation-main/{name}": file for name, file in files.items()}


def made_downloads(folder: Path) -> Path:
    """Everything, as it is downloaded."""
    folder.mkdir()
    write_dataset(folder, "food101", food101())
    write_dataset(folder, "cifar100", cifar100())
    write_dataset(folder, "imagenet", imagenet())
    write_zip(folder / "contextual-description-evaluation-main.zip", kreiss2022())
    (folder / "Concreteness_ratings_Brysbaert_et_al_BRM.txt").write_bytes(concreteness())
    (folder / "13428_2018_1099_MOESM2_ESM.csv").write_bytes(imageability())
    (folder / "concadia").mkdir()
    (folder / "concadia" / "wiki_split.json").write_bytes(concadia_texts())
    write_zip(folder / "concadia" / "resized.zip", concadia_images())
    return folder
