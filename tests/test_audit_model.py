"""What a model says of images and names, with embeddings made for the purpose."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from descscore import DescriptionScore
from descscore.audit.findings import AuditResult
from descscore.audit.run import NO_MODEL, audit
from descscore.audit.vocabulary import DECORATIVE, INFORMATIVE, UNRELATED
from descscore.results import Embeddings

WORDS = ("red", "green", "blue", "white", "photo", "icon")


class ColourMetric:
    """Colours and the words for them have one direction each; other words have small random ones.

    An image of white looks like "a photo of people", one of black like "an icon".
    """

    signature = "colours"

    def __init__(self, *, purpose: bool = True) -> None:
        self.purpose_subspace = object() if purpose else None
        self.images: list[bytes] = []

    def embed_images(self, images: list[bytes]) -> Embeddings:
        self.images += images
        return embeddings([vector(name_of(content)) for content in images])

    def embed_texts(self, texts: list[str]) -> Embeddings:
        return embeddings([text_vector(text) for text in texts])

    def __call__(self, image: bytes, texts: list[str], *, context: str) -> Any:
        # A text fits its context if they share a word.
        shared = [float(any(word in context.split() for word in text.split())) for text in texts]
        return SimpleNamespace(context_scores=np.array(shared))

    def purpose(self, texts: list[str]) -> np.ndarray:
        return np.array([0.05 if "won" in text else 0.9 for text in texts])


def vector(name: str | None) -> np.ndarray:
    if name is None:
        return np.full(len(WORDS) + 2, np.nan)
    found = np.zeros(len(WORDS) + 2)
    found[WORDS.index(name)] = 1
    return found


def text_vector(text: str) -> np.ndarray:
    found = np.zeros(len(WORDS) + 2)
    if text in INFORMATIVE or text in DECORATIVE:
        found[WORDS.index("photo" if text in INFORMATIVE else "icon")] = 1
        return found
    for place, word in enumerate(WORDS):
        found[place] += word in text
    spread = np.random.default_rng(len(text)).normal(0, 0.1, len(found))
    return found + spread


def embeddings(rows: list[np.ndarray]) -> Embeddings:
    values = np.array(rows, dtype=np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    return Embeddings(values=values, errors=(None,) * len(rows))


MORE = ("", " up", " near", " house", " garden", " building", " mountain", " neighbour")
"""Endings of names, each with other random directions."""

COLOURS = {
    (255, 0, 0): "red",
    (0, 255, 0): "green",
    (0, 0, 255): "blue",
    (255, 255, 255): "photo",
    (0, 0, 0): "icon",
}


def name_of(content: bytes) -> str | None:
    try:
        with Image.open(io.BytesIO(content)) as image:
            return COLOURS[image.convert("RGB").getpixel((0, 0))]
    except Exception:
        return None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for colour, name in COLOURS.items():
        Image.new("RGB", (120, 120), colour).save(tmp_path / f"{name}.png")
    Image.new("RGB", (20, 20), (255, 255, 255)).save(tmp_path / "small.png")
    (tmp_path / "broken.png").write_bytes(b"no image")
    return tmp_path


def judge(folder: Path, html: str, metric: ColourMetric | None = None) -> AuditResult:
    (folder / "page.html").write_text(html)
    used = cast("DescriptionScore", metric or ColourMetric())
    return audit([folder / "page.html"], metric=used)


def found(folder: Path, html: str) -> list[tuple[str, str]]:
    result = judge(folder, html)
    assert all(each.severity == "review" for each in result.findings)
    return [(each.element.src, each.rule.id) for each in result.findings]


def test_right_names_are_let_be(folder: Path) -> None:
    html = "<img src=red.png alt='A red wall'><img src=green.png alt='A green wall'>"
    assert found(folder, html) == []


def test_names_that_were_exchanged_are_found_at_both_images(folder: Path) -> None:
    html = (
        "<img src=red.png alt='A green wall'><img src=green.png alt='A red wall'>"
        "<img src=blue.png alt='A blue wall'>"
    )
    assert found(folder, html) == [
        ("red.png", "possibly-swapped"),
        ("green.png", "possibly-swapped"),
    ]


def test_name_that_fits_less_than_unrelated_texts_is_found(folder: Path) -> None:
    wrong = [found(folder, f"<img src=red.png alt='A blue wall{more}'>") for more in MORE]
    # An unrelated name is better than three quarters of unrelated ones once in four times.
    assert sum(each == [("red.png", "low-fit")] for each in wrong) >= len(MORE) // 2


def test_paragraph_around_an_image_can_make_up_for_it(folder: Path) -> None:
    image = "<img src=red.png alt='A blue Wall{}'>"
    names = [image.format(more) for more in MORE]
    alone = [html for html in names if ("red.png", "low-fit") in found(folder, html)]
    assert alone
    for html in alone:
        assert found(folder, f"<p>Built by Wall himself {html}</p>") == []
        assert found(folder, f"<p>Nothing else {html}</p>") == [("red.png", "low-fit")]


def test_caption_is_found_by_its_wording(folder: Path) -> None:
    html = "<img src=red.png alt='The red team won the cup'>"
    assert found(folder, html) == [("red.png", "caption-like")]
    without = judge(folder, html, ColourMetric(purpose=False))
    assert without.findings == []


def test_decorative_image_that_shows_something_is_found(folder: Path) -> None:
    html = "".join(f"<img src={name}.png alt=''>" for name in ("photo", "icon", "small"))
    assert found(folder, html) == [("photo.png", "possibly-informative")]
    assert found(folder, "<a href=x><img src=photo.png alt=''> News</a>") == []


@pytest.mark.parametrize(
    "html",
    [
        "<img src=gone.png alt='A red wall'>",
        "<img src=broken.png alt='A red wall'>",
        "<img src=red.png alt='Eine blaue Wand' lang=de>",
        "<img src=red.png alt='Синяя стена'>",
        "<img src=red.png alt='A blue wall' hidden>",
        "<img src=red.png alt=''>",
        "<svg role=img><title>A blue wall</title></svg>",
        "",
    ],
)
def test_what_cannot_be_compared_is_let_be(folder: Path, html: str) -> None:
    assert found(folder, html) == []


def test_images_that_cannot_be_read_are_one_line(folder: Path) -> None:
    names = ("gone", "broken", "gone", "red", "a", "b")
    (page,) = judge(folder, "".join(f"<img src={name}.png alt='Wall'>" for name in names)).pages
    assert page.notes == [
        "has image addresses that lead to no image: gone.png, broken.png, a.png and 1 more"
    ]


def test_each_image_is_encoded_once(folder: Path) -> None:
    metric = ColourMetric()
    page = "<img src=red.png alt='A red wall'>"
    for name in ("a.html", "b.html"):
        (folder / name).write_text(page * 3)
    (folder / "copy.png").write_bytes((folder / "red.png").read_bytes())
    (folder / "c.html").write_text("<img src=copy.png alt='A red wall'>")
    audit([folder], metric=cast("DescriptionScore", metric))
    assert len(metric.images) == 1


def test_result_names_the_scores_or_says_that_there_are_none(folder: Path) -> None:
    result = judge(folder, "")
    assert (result.model, result.model_note) == ("colours", "")
    without = audit([folder / "page.html"])
    assert (without.model, without.model_note) == ("", NO_MODEL)


def test_unrelated_texts_are_many_and_different() -> None:
    assert len(set(UNRELATED)) == len(UNRELATED) >= 32


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_clip_judges_from_end_to_end(folder: Path, tiny_clip: Path) -> None:
    (folder / "page.html").write_text(
        "<img src=red.png alt='A red wall'><img src=photo.png alt=''><img src=broken.png alt=Dog>"
    )
    metric: Any = DescriptionScore(tiny_clip, device="cpu", on_error="record")
    result = audit([folder / "page.html"], metric=metric)
    assert result.model == metric.signature
    assert not [page.error for page in result.pages if page.error]
