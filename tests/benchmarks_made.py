"""Small captioning benchmarks in the layouts of the real ones, and a metric with known scores."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from descscore.results import Scores

N_IMAGES = 6


def value(image: str, text: str) -> float:
    """The score of an image, by its file's name, and a text."""
    return zlib.crc32(f"{Path(image).name} {text}".encode()) / 2**32


def augmented(image: str, text: str, references: Sequence[str]) -> float:
    """The score with references, whose order makes no difference."""
    return value(image, text) + max(value("reference", reference) for reference in references)


class KnownMetric:
    """Scores that a test works out for itself.

    Args:
        failing: a text that cannot be scored.
    """

    def __init__(self, failing: str | None = None) -> None:
        self.failing = failing
        self.calls: list[tuple[tuple[str, ...], tuple[str, ...]]] = []

    def __call__(
        self,
        images: Sequence[str],
        texts: Sequence[str],
        references: Sequence[Sequence[str]] | None = None,
    ) -> Scores:
        self.calls.append((tuple(images), tuple(texts)))
        alone = np.array(list(map(value, images, texts)), dtype=np.float32)
        both = alone
        if references is not None:
            both = np.array(list(map(augmented, images, texts, references)), dtype=np.float32)
        places = np.arange(len(images))
        return Scores(
            scores=both,
            truncated=places < 0,
            n_tokens=np.ones(len(images), dtype=np.int32),
            image_index=places,
            text_index=places,
            errors=tuple("text is bad" if text == self.failing else None for text in texts),
            image_scores=None if references is None else alone,
            signature="known",
        )


def make_images(folder: Path, names: Sequence[str]) -> Path:
    """Files of some names, which the known metric never opens."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def flickr8k(folder: Path) -> list[str]:
    """The authors' texts, and images in `Images/`; the names of the images."""
    names = [f"{n}_ab.jpg" for n in range(N_IMAGES)]
    make_images(folder / "Images", names)
    rng = np.random.default_rng(0)
    tokens = [
        f"{name}#{k}\tCaption {k} of  image {n} .\n"
        for n, name in enumerate(names)
        for k in range(5)
    ]
    (folder / "Flickr8k.token.txt").write_text("".join(tokens))
    expert, crowd = [], []
    for n, name in enumerate(names):
        for k in range(4):
            other = names[(n + k) % N_IMAGES]  # k = 0: the image's own caption
            grades = sorted(rng.integers(1, 5, 3))
            expert.append("\t".join([name, f"{other}#{k}", *map(str, grades)]))
            yes, no = rng.integers(1, 4, 2)
            crowd.append(
                "\t".join([name, f"{other}#{k}", str(yes / (yes + no)), str(yes), str(no)])
            )
    (folder / "ExpertAnnotations.txt").write_text("\n".join(expert) + "\n")
    (folder / "CrowdFlowerAnnotations.txt").write_text("\n".join(crowd) + "\n")
    return names


def flickr8k_json(folder: Path, name: str) -> dict[str, dict[str, object]]:
    """One of CLIPScore's and PAC-S's files, with a rating that is NaN."""
    rng = np.random.default_rng(1)
    content: dict[str, dict[str, object]] = {}
    for n in range(N_IMAGES):
        image = f"{n}_ab.jpg"
        content[image.removesuffix(".jpg")] = {
            "image_id": image.removesuffix(".jpg"),
            "image_path": f"Flicker8k_Dataset/{image}",
            "ground_truth": [f"Caption {k}  of image {n} ." for k in range(5)],
            "human_judgement": [
                {"image_id": image, "caption": f"Some   text {k} .", "rating": float(rating)}
                for k, rating in enumerate([*rng.integers(1, 5, 4), float("nan")])
            ],
        }
    make_images(folder / "images", [f"{n}_ab.jpg" for n in range(N_IMAGES)])
    (folder / name).write_text(json.dumps(content))
    return content


def composite(folder: Path) -> None:
    """The authors' three csv files, the references and images."""
    coco = [f"COCO_val2014_{n:012d}.jpg" for n in range(3)]
    sets = {"8k": (["10_a.jpg", "11_b.jpg"], 3), "30k": (["20.jpg"], 4), "coco": (coco, 4)}
    rng = np.random.default_rng(2)
    for name, (images, width) in sets.items():
        turk = [f"Turk{i}" for i in range(27)]
        header = [*turk, "Input.url", *(f"Input.text{i}" for i in range(width))]
        header += [f"Answer.rate{i}" for i in range(width)]
        lines = [";".join(header)]
        for image in images:
            captions = [f"A reference of {image.upper()}.", *(f"text {k}" for k in range(1, width))]
            ratings = rng.integers(1, 6, width)
            address = f"http://example.org/images/{image}"
            lines.append(";".join([*["x"] * 27, address, *captions, *map(str, ratings)]))
        lines.append(";".join(["total"] + [""] * (len(header) - 1)))
        (folder / f"{name}_correctness.csv").write_text("\n".join(lines) + "\n")
        make_images(folder / "images", images)
    for tokens, images in (
        ("Flickr8k.token.txt", sets["8k"][0]),
        ("results_20130124.token", ["20.jpg"]),
    ):
        lines = [f"{i}#{k}\t{t}" for i in images for k, t in enumerate(_references(i))]
        (folder / tokens).write_text("\n".join(lines) + "\n")
    captions = [
        {"image_id": n, "caption": text}
        for n, image in enumerate(coco)
        for text in _references(image)
    ]
    (folder / "captions_val2014.json").write_text(json.dumps({"annotations": captions}))


def _references(image: str) -> list[str]:
    return [f"a reference of {image} .", f"Another of {image}", "A third ."]


def pascal_50s(folder: Path) -> None:
    """The two MATLAB files as scipy reads the real ones: structures, texts wrapped in cells."""
    from scipy.io import savemat

    names = [f"2008_{n:06d}.jpg" for n in range(4)]
    make_images(folder / "JPEGImages", names)
    pairs = np.zeros((1, 8), dtype=[("img", object), ("b", object), ("c", object)])
    triplets = np.zeros((1, 8 * 48), dtype=[(name, object) for name in "abcd"])
    for n in range(8):
        first, second = f"first {n}", f"second {n} "
        pairs[0, n] = (names[n % 4], first, second)
        for k in range(48):
            # Pair n: the first wins 20 + n of 48 judgements; in every other row B is the second.
            swapped = k % 2 == 1
            first_won = k < 20 + n
            b, c = (second, first) if swapped else (first, second)
            won = 1 if first_won != swapped else -1
            wrapped = [np.array([[text]], dtype=object) for text in (f"ref {n} {k}", b, c)]
            triplets[0, n * 48 + k] = (*wrapped, float(won))
    savemat(
        folder / "pair_pascal.mat",
        {"new_input": pairs, "category": np.array([[1, 2, 3, 4, 1, 2, 3, 4]], dtype=np.uint8)},
    )
    savemat(folder / "consensus_pascal.mat", {"triplets": triplets})


def foil(folder: Path) -> None:
    """The test set's JSON, COCO's captions and images."""
    images = [{"id": n, "file_name": f"COCO_val2014_{n:012d}.jpg"} for n in range(3)]
    annotations, captions = [], []
    for n in range(3):
        for k in range(n + 1):
            right = f"a dog {k} on image {n}"
            entry = {"id": 10 * n + k, "image_id": n}
            annotations += [
                {**entry, "caption": right, "foil": False, "foil_word": "ORIG"},
                {**entry, "caption": right.replace("dog", "cat"), "foil": True, "foil_word": "cat"},
            ]
        captions += [{"image_id": n, "caption": f"a dog {k} on image {n}"} for k in range(6)]
    annotations.append({"id": 99, "image_id": 0, "caption": "alone", "foil": False})
    content = {"images": images, "annotations": annotations}
    (folder / "foilv1.0_test_2017.json").write_text(json.dumps(content))
    (folder / "captions_val2014.json").write_text(json.dumps({"annotations": captions}))
    make_images(folder / "val2014", [str(image["file_name"]) for image in images])


def sugarcrepe(folder: Path) -> None:
    """Two of the seven files, and images in `val2017/`."""
    for name in ("swap_obj", "add_att"):
        entries = {
            str(k): {
                "filename": f"{k}.jpg",
                "caption": f"a {name} {k}",
                "negative_caption": f"no  {name} {k}",
            }
            for k in range(4)
        }
        (folder / f"{name}.json").write_text(json.dumps(entries))
    make_images(folder / "val2017", [f"{k}.jpg" for k in range(4)])


def winoground(folder: Path, examples: int = 40) -> None:
    """The file of the Hub, and the images that its zip file holds."""
    rows = [
        {"id": k, "image_0": f"ex_{k}_img_0", "image_1": f"ex_{k}_img_1", "tag": "Object"}
        | {"caption_0": f"a {k} b", "caption_1": f"b {k} a"}
        for k in range(examples)
    ]
    (folder / "examples.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    make_images(folder / "images", [f"ex_{k}_img_{i}.png" for k in range(examples) for i in (0, 1)])
