"""What a purpose weight buys and costs, against scores that carry the weight themselves."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from descscore import DescriptionScore, Scores
from descscore.cli.app import app
from descscore.datasets import DescribedImage
from descscore.errors import OptionError
from descscore.evaluate import calibrate_purpose, evaluate_preference

PHOTOS = sorted((Path(__file__).parents[1] / "examples" / "photos").glob("*.jpg"))
TEXTS = [
    ("A tabby cat looks to the left.", "Chelsea at home"),
    ("A red cup of coffee on a table.", "The third of the day"),
    ("A rocket lifts off from a launch pad.", "Falcon 9 in 2015"),
    ("A man in a dark coat with a camera on a tripod.", "Cambridge"),
]


@pytest.fixture(scope="module")
def examples() -> list[DescribedImage]:
    return [
        DescribedImage(id=photo.name, image=str(photo), description=texts[0], caption=texts[1])
        for photo, texts in zip(PHOTOS, TEXTS, strict=False)
    ]


class Known:
    """A metric whose scores and purposes are given: the image's own text scores 1, others `other`.

    Args:
        other: the score of a text with another image.
        purposes: of a description and of a caption; the latter are those that begin with "c".
    """

    readouts = frozenset({"purpose"})
    purpose_weight = None
    signature = "known"

    def __init__(self, other: float, purposes: tuple[float, float]) -> None:
        self.other, self.purposes = other, purposes

    def __call__(self, images: list[str], texts: list[list[str]]) -> Scores:
        pairs = [(i, t) for i, ts in zip(images, texts, strict=True) for t in ts]
        n = len(pairs)
        return Scores(
            scores=np.array([1.0 if i == t[1:] else self.other for i, t in pairs], np.float32),
            purpose=np.array([self.purposes[t[0] == "c"] for _, t in pairs], np.float32),
            truncated=np.zeros(n, bool),
            n_tokens=np.ones(n, int),
            image_index=np.arange(n),
            text_index=np.arange(n),
            errors=(None,) * n,
            signature="known",
        )


def made(n: int) -> list[DescribedImage]:
    return [
        DescribedImage(id=f"{i}", image=f"{i}", description=f"d{i}", caption=f"c{i}")
        for i in range(n)
    ]


def test_every_weight_gives_what_scores_with_that_weight_give(examples: list[DescribedImage]):
    found = calibrate_purpose(DescriptionScore(), examples, weights=[0.3, 0.02])
    assert [one.weight for one in found.weights] == [0, 0.02, 0.3]
    for one in found.weights:
        report = evaluate_preference(DescriptionScore(purpose_weight=one.weight), examples)
        assert one.preference == report.preference
        assert one.relevance_of_descriptions == report.relevance_of_descriptions
        assert one.relevance_of_captions == report.relevance_of_captions


def test_a_weight_lifts_preference_once_the_logits_outweigh_the_scores():
    # Descriptions and captions tie at weight 0; any weight tells them apart by their purpose.
    found = calibrate_purpose(Known(0.0, (0.9, 0.2)), made(5), weights=[0.01])
    assert [one.preference.value for one in found.weights] == [0, 1]
    assert found.purpose_alone.value == 1
    assert found.images == 5


def test_the_largest_weight_is_the_last_before_relevance_falls():
    class Uneven(Known):
        """The first image's texts read far more like descriptions than all others."""

        def __call__(self, images: list[str], texts: list[list[str]]) -> Scores:
            scores = super().__call__(images, texts)
            of_first = [t[1:] == "0" for ts in texts for t in ts]
            assert scores.purpose is not None
            scores.purpose[:] = np.where(of_first, 0.9, 0.5)
            return scores

    # ln 9 = 2.197: the first text wins on every image from a weight of 0.1 / 2.197 = 0.0455 on.
    weights = [0.01, 0.04, 0.05, 0.5]
    found = calibrate_purpose(Uneven(0.9, (0.5, 0.5)), made(5), weights=weights)
    relevance = [one.relevance_of_captions.value for one in found.weights]
    # Each of four images loses one of four comparisons.
    assert relevance == [1, 1, 1, pytest.approx(0.8), pytest.approx(0.8)]
    assert found.largest == 0.04
    generous = calibrate_purpose(Uneven(0.9, (0.5, 0.5)), made(5), weights=weights, tolerance=0.2)
    assert generous.largest == 0.5


def test_what_cannot_be_calibrated_is_refused(tiny_clip: Path, examples: list[DescribedImage]):
    with pytest.raises(OptionError, match="reads no purpose"):
        calibrate_purpose(DescriptionScore(tiny_clip), examples)
    with pytest.raises(OptionError, match=r"has the purpose weight 0\.1"):
        calibrate_purpose(DescriptionScore(purpose_weight=0.1), examples)
    known = Known(0.0, (0.9, 0.2))
    for options, message in (
        ({"weights": [-1.0]}, "a weight is -1.0"),
        ({"weights": [float("nan")]}, "a weight is nan"),
        ({"tolerance": -0.1}, "tolerance is -0.1"),
    ):
        with pytest.raises(OptionError, match=message):
            calibrate_purpose(known, made(3), **options)
    with pytest.raises(OptionError, match="at least two"):
        calibrate_purpose(known, made(1))


def test_the_command_prints_a_table_json_and_a_figure(
    examples: list[DescribedImage], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    rows = [f"{e.image},{e.description},{e.caption}" for e in examples]
    table = tmp_path / "pairs.csv"
    table.write_text("\n".join(["image,description,caption", *rows]) + "\n")

    def run(*arguments: object) -> tuple[str, str]:
        with pytest.raises(SystemExit) as done:
            app([str(a) for a in ("calibrate", table, *arguments)], prog_name="descscore")
        assert done.value.code in {0, None, 2}
        return capsys.readouterr()

    out, _ = run("--weights", "0.02,0.1", "--figure", tmp_path / "curve.svg")
    assert [line.split()[0] for line in out.splitlines()[2:5]] == ["0", "0.02", "0.1"]
    assert "largest weight whose relevance stays within 0.02: " in out
    assert "relevance of captions" in (tmp_path / "curve.svg").read_text()
    found = json.loads(run("--weights", "0.02", "--json", "-q")[0])
    assert [one["weight"] for one in found["weights"]] == [0, 0.02]
    assert found["weights"][0]["preference"]["n"] == len(examples)
    assert "give numbers with commas" in run("--weights", "a")[1]
    assert "cannot be drawn" in run("--weights", "0.1", "--figure", tmp_path / "x.txt")[1]


@pytest.mark.hub
def test_the_price_of_purpose_for_clip_on_concadia(
    shared_data: Path, capsys: pytest.CaptureFixture[str]
):
    """The curve of OpenAI's ViT-B/32 with the shipped reader, mismatched pairs included."""
    checkpoint = os.environ.get("DESCSCORE_TEST_CLIP") or "openai/clip-vit-base-patch32"
    given = ("calibrate", shared_data / "concadia-val200", "--checkpoint", checkpoint)
    options = ("--purpose", "mini", "--clipscore-compatible")
    for form in ((), ("--json", "-q")):
        with pytest.raises(SystemExit):
            app([str(a) for a in (*given, *options, *form)], prog_name="descscore")
        out = capsys.readouterr().out
        with capsys.disabled():
            sys.stdout.write(f"\n{out}")
    by_weight = {one["weight"]: one for one in json.loads(out)["weights"]}
    # From the published CLIPScores of the same pairs: 0.55 without a weight.
    assert by_weight[0]["preference"]["value"] == pytest.approx(0.55, abs=0.02)
    assert by_weight[0.05]["preference"]["value"] > by_weight[0]["preference"]["value"] + 0.1
    assert by_weight[0]["relevance_of_descriptions"]["value"] > 0.9
