"""Scores and embeddings equal those of transformers' own CLIP, fed one pair at a time.

No code of the package has a part in the expected values.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

from descscore import CLIPSCORE_PREFIX, DescriptionScore
from descscore.checkpoints.attach import load_clip
from descscore.checkpoints.store import resolve_checkpoint
from descscore.pipeline import embed_images, embed_tokens
from descscore.towers.encoder import Encoder
from tests.conftest import ROOT

OPENING = "The lighthouse stands on a rocky cliff above the stormy sea , and " * 2
ENDINGS = ["the sky is dark " * 30, "children are playing football " * 30]
TEXTS = [
    "A woman in an orange spacesuit smiles in front of a flag.",
    "cat",
    OPENING + ENDINGS[0],
    OPENING + ENDINGS[1],
    "Une tasse de café, vue d'en haut : déjà vu ! 🚀",
]
SHORT = ["a dog on the beach", "cat", "Two clocks!", "an old red sofa , in the rain"]


@dataclass
class Reference:
    """What transformers says of one image and one text.

    Attributes:
        image: its embedding, as the model returns it.
        text: its embedding.
        cosine: of the two.
    """

    image: torch.Tensor
    text: torch.Tensor
    cosine: float


class Transformers:
    """Transformers' own model, image processor and tokeniser."""

    def __init__(self, folder: Path) -> None:
        self.model = CLIPModel.from_pretrained(folder).eval()
        self.processor = CLIPImageProcessorPil.from_pretrained(folder)
        self.tokenizer = CLIPTokenizer.from_pretrained(folder)

    @torch.no_grad()
    def score(self, path: Path, text: str) -> Reference:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image).convert("RGB")
        pixels = self.processor(upright, return_tensors="pt")
        tokens = self.tokenizer(
            text, truncation=True, max_length=77, padding="max_length", return_tensors="pt"
        )
        output = self.model(**pixels, **tokens)
        cosine = output.logits_per_image.item() / self.model.logit_scale.exp().item()
        return Reference(output.image_embeds[0], output.text_embeds[0], cosine)


@pytest.fixture(scope="module")
def photos(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two photos as they are, one in grey, and one that its orientation tag turns."""
    samples = sorted((ROOT / "examples" / "photos").glob("*.jpg"))
    originals = shared_data / "photos-original"
    turned = tmp_path_factory.mktemp("photos") / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(samples[1]) as image:
        image.save(turned, exif=exif)
    names = ("n01494475_hammerhead.JPEG", "n03417042_garbage_truck.JPEG")
    return [samples[0], *(originals / name for name in names), turned]


@pytest.fixture(scope="module")
def transformers(vit_b32: Path) -> Transformers:
    return Transformers(vit_b32)


@pytest.fixture(scope="module")
def metric(vit_b32: Path) -> DescriptionScore:
    return DescriptionScore(vit_b32, scale="cosine", batch_size=3)


def test_embeddings_of_vit_b32_equal_transformers(
    vit_b32: Path, transformers: Transformers, photos: list[Path]
) -> None:
    clip = load_clip(resolve_checkpoint(vit_b32), dtype=torch.float32, device=torch.device("cpu"))
    encoder = Encoder(clip.towers, clip.images)
    images, errors = embed_images(encoder, photos, batch_size=3, workers=2)
    tokens = [tokens.ids for tokens in clip.texts(TEXTS)]
    texts = embed_tokens(encoder, tokens, budget=3 * 77).embeddings
    assert not errors
    for row, text in enumerate(TEXTS):
        expected = transformers.score(photos[row % len(photos)], text)
        torch.testing.assert_close(images[row % len(photos)], expected.image, rtol=0, atol=1e-5)
        torch.testing.assert_close(texts[row], expected.text, rtol=0, atol=1e-5)


def test_scores_of_vit_b32_equal_transformers(
    metric: DescriptionScore, transformers: Transformers, photos: list[Path]
) -> None:
    texts = TEXTS[: len(photos)]
    expected = [
        transformers.score(photo, text).cosine for photo, text in zip(photos, texts, strict=True)
    ]
    result = metric(photos, texts)
    np.testing.assert_allclose(result.scores, expected, rtol=0, atol=1e-5)
    # Random weights spread the scores little, but far more than the tolerance.
    assert np.ptp(expected) > 1e-2
    assert result.truncated.tolist() == [False, False, True, True]


def test_long_texts_that_begin_alike_but_differ_within_the_window_differ(
    metric: DescriptionScore, transformers: Transformers, photos: list[Path]
) -> None:
    expected = [transformers.score(photos[0], text) for text in TEXTS[2:4]]
    assert (expected[0].text - expected[1].text).norm() > 1e-2
    result = metric(photos[0], TEXTS[2:4])
    assert result.truncated.all()
    assert abs(result.scores[0] - result.scores[1]) > 1e-4
    np.testing.assert_allclose(result.scores, [one.cosine for one in expected], rtol=0, atol=1e-5)


def test_scores_of_vit_b32_depend_on_neither_batch_size_nor_order(
    metric: DescriptionScore, vit_b32: Path, photos: list[Path]
) -> None:
    texts, order = TEXTS[: len(photos)], [2, 0, 3, 1]
    whole = metric(photos, texts)
    singly = DescriptionScore(vit_b32, scale="cosine", batch_size=1)
    shuffled = singly([photos[i] for i in order], [texts[i] for i in order])
    np.testing.assert_allclose(shuffled.scores, whole.scores[order], rtol=0, atol=1e-6)


@pytest.mark.parametrize("prefix", ["", CLIPSCORE_PREFIX])
def test_clipscore_is_its_formula_over_transformers(tiny_clip: Path, prefix: str) -> None:
    transformers = Transformers(tiny_clip)
    photos = sorted((ROOT / "examples" / "photos").glob("*.jpg"))
    cosines = np.array(
        [[transformers.score(photo, prefix + text).cosine for text in SHORT] for photo in photos]
    )
    result = DescriptionScore(tiny_clip, prefix=prefix)(photos, SHORT, pairwise=True)
    # Hessel et al. 2021: w max(cos(c, v), 0) with w = 2.5, for each pair.
    np.testing.assert_allclose(result.scores, 2.5 * cosines.clip(min=0), rtol=0, atol=1e-5)
    assert cosines.min() < 0 < cosines.max()


def test_scores_of_every_shape_of_input_equal_transformers(tiny_clip: Path) -> None:
    transformers = Transformers(tiny_clip)
    photos = sorted((ROOT / "examples" / "photos").glob("*.jpg"))[:3]
    metric = DescriptionScore(tiny_clip, scale="cosine")
    expected = np.array(
        [[transformers.score(photo, text).cosine for text in SHORT] for photo in photos]
    )
    assert np.ptp(expected) > 0.1
    pairwise = metric(photos, SHORT, pairwise=True).scores
    one_image = metric(photos[0], SHORT).scores
    ragged = metric(photos, [SHORT[:2], [], SHORT[2:]]).scores
    equal = metric(photos, SHORT[:3]).scores
    one_text = metric(photos, SHORT[0]).scores
    for found, wanted in [
        (pairwise, expected),
        (one_image, expected[0]),
        (ragged, expected[[0, 0, 2, 2], range(4)]),
        (equal, expected[range(3), range(3)]),
        (one_text, expected[:, 0]),
    ]:
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)


def test_refclipscore_is_its_formula_over_transformers(tiny_clip: Path) -> None:
    transformers = Transformers(tiny_clip)
    photos = sorted((ROOT / "examples" / "photos").glob("*.jpg"))
    references = [
        ["a red dog", "a beach"],
        ["a photo"],
        ["one", "two", "three"],
        ["the sofa is red"],
    ]
    result = DescriptionScore(tiny_clip)(photos, SHORT, references)
    # Hessel et al. 2021, section 3: the harmonic mean of CLIP-S(c, v) = 2.5 max(cos(c, v), 0) and
    # max(max over references r of cos(c, r), 0).
    for i, (photo, text) in enumerate(zip(photos, SHORT, strict=True)):
        pair = transformers.score(photo, text)
        clip_s = 2.5 * max(pair.cosine, 0)
        to_references = max(
            (pair.text @ transformers.score(photo, reference).text).item()
            for reference in references[i]
        )
        expected = 2 / (1 / clip_s + 1 / to_references) if clip_s and to_references > 0 else 0
        assert result.scores[i] == pytest.approx(expected, abs=1e-5)
        assert result.image_scores[i] == pytest.approx(clip_s, abs=1e-5)
        assert result.reference_scores[i] == pytest.approx(max(to_references, 0), abs=1e-5)
    assert 0 < (result.scores > 0).sum() < len(photos), "both cases must occur"


def test_references_are_prefixed_as_texts_are(tiny_clip: Path) -> None:
    transformers = Transformers(tiny_clip)
    photo = ROOT / "examples" / "photos" / "rocket.jpg"
    result = DescriptionScore(tiny_clip, prefix=CLIPSCORE_PREFIX)(photo, "cat", ["a beach"])
    # As in the authors' own program, which puts the prefix before candidates and references.
    text, reference = (
        transformers.score(photo, CLIPSCORE_PREFIX + t).text for t in ("cat", "a beach")
    )
    assert result.reference_scores.item() == pytest.approx((text @ reference).item(), abs=1e-5)


@pytest.mark.parametrize(("dtype", "tolerance"), [("bfloat16", 2e-2), ("float16", 2e-3)])
def test_half_precision_is_near_transformers_in_float32(
    tiny_clip: Path, dtype: str, tolerance: float
) -> None:
    transformers = Transformers(tiny_clip)
    photos = sorted((ROOT / "examples" / "photos").glob("*.jpg"))
    metric = DescriptionScore(tiny_clip, scale="cosine", dtype=dtype)
    expected = [transformers.score(*pair).cosine for pair in zip(photos, SHORT, strict=True)]
    result = metric(photos, SHORT)
    assert result.scores.dtype == np.float32
    np.testing.assert_allclose(result.scores, expected, rtol=0, atol=tolerance)
