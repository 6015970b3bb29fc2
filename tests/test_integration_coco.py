"""DescriptionScorer: pycocoevalcap's interface, beside its own CIDEr."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocoevalcap.cider.cider import Cider

from descscore import DescriptionScore
from descscore.errors import PairingError
from descscore.integrations.coco import DescriptionScorer
from tests.conftest import ROOT

PHOTOS = {path.stem: path for path in sorted((ROOT / "examples" / "photos").glob("*.jpg"))}
REFERENCES = {
    "rocket": ["a white rocket at dusk", "a rocket on its pad"],
    "coffee": ["a red cup of espresso"],
    "chelsea": ["a tabby cat with green eyes", "the face of a cat"],
}
CAPTIONS = {"chelsea": ["The face of a Cat."], "coffee": ["a cup"], "rocket": ["two men"]}


@pytest.fixture(scope="module")
def scorer(tiny_clip: Path) -> DescriptionScore:
    return DescriptionScore(tiny_clip, num_workers=0, on_error="record")


@pytest.mark.parametrize("references", [False, True])
def test_it_stands_in_a_list_of_scorers_with_cider(
    scorer: DescriptionScore, references: bool
) -> None:
    ours = DescriptionScorer(PHOTOS, scorer, references=references)
    scorers: list[Any] = [Cider(), ours]
    found = {each.method(): each.compute_score(REFERENCES, CAPTIONS) for each in scorers}
    ids = list(REFERENCES)
    expected = scorer(
        [PHOTOS[name] for name in ids],
        [CAPTIONS[name][0] for name in ids],
        [REFERENCES[name] for name in ids] if references else None,
    )
    assert [*found] == ["CIDEr", "RefDescriptionScore" if references else "DescriptionScore"]
    mean, per_image = found[ours.method()]
    assert mean == expected.mean
    np.testing.assert_array_equal(per_image, expected.scores)
    assert found["CIDEr"][1].shape == per_image.shape


def test_annotations_are_read_as_coco_has_them(scorer: DescriptionScore) -> None:
    ours = DescriptionScorer(PHOTOS, scorer, references=True)
    as_annotations = [
        {
            name: [{"caption": text, "image_id": name} for text in texts]
            for name, texts in of.items()
        }
        for of in (REFERENCES, CAPTIONS)
    ]
    _, plain = ours.compute_score(REFERENCES, CAPTIONS)
    np.testing.assert_array_equal(ours.compute_score(*as_annotations)[1], plain)


def test_a_failed_image_is_nan_and_not_in_the_mean(scorer: DescriptionScore) -> None:
    ours = DescriptionScorer(PHOTOS | {"rocket": Path("missing.jpg")}, scorer)
    mean, per_image = ours.compute_score(REFERENCES, CAPTIONS)
    assert np.isnan(per_image).tolist() == [True, False, False]
    assert mean == pytest.approx(float(per_image[1:].mean()))


@pytest.mark.parametrize(
    ("gts", "res", "message"),
    [
        ({}, {"owl": ["an owl"]}, "the first, 'owl', is not in gts"),
        ({"owl": ["an owl"]}, {}, "the first, 'owl', is not in res"),
        ({"owl": ["an owl"]}, {"owl": ["an owl"]}, "image id 'owl' has no image"),
        ({"coffee": []}, {"coffee": ["a", "b"]}, r"'coffee' has \['a', 'b'\] in res"),
        ({"coffee": []}, {"coffee": "a"}, "'coffee' has 'a' in res; give a list of one caption"),
    ],
)
def test_what_does_not_fit_is_named(
    scorer: DescriptionScore, gts: dict[str, Any], res: dict[str, Any], message: str
) -> None:
    with pytest.raises(PairingError, match=message):
        DescriptionScorer(PHOTOS, scorer).compute_score(gts, res)
