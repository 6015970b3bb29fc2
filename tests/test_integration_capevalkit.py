"""The metric and the runner for capevalkit: the forms it documents, and its own API where it is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from descscore import DescriptionScore
from descscore.integrations.capevalkit import CaptionMetric, main
from tests.conftest import ROOT

PHOTOS = sorted((ROOT / "examples" / "photos").glob("*.jpg"))
CAPTIONS = ["An astronaut.", "a cat", "a cup of espresso", "two men in a boat"]
REFERENCES = [["a woman in a space suit"], ["a tabby cat", "a cat"], ["a red cup"], ["a rocket"]]


@dataclass(frozen=True)
class Sample:
    id: str
    image: str
    references: list[str]
    prediction: str | None = None


SAMPLES = [
    Sample(f"item-{place}", str(photo), REFERENCES[place], CAPTIONS[place])
    for place, photo in enumerate(PHOTOS)
]


@pytest.fixture(scope="module")
def scorer(tiny_clip: Path) -> DescriptionScore:
    return DescriptionScore(tiny_clip, num_workers=0)


@pytest.mark.parametrize("references", [False, True])
def test_the_callable_scores_samples_by_id(scorer: DescriptionScore, references: bool) -> None:
    found = CaptionMetric(scorer, references=references)(SAMPLES)
    expected = scorer([*PHOTOS], CAPTIONS, REFERENCES if references else None)
    assert found == dict(zip((s.id for s in SAMPLES), expected.scores.tolist(), strict=True))


@pytest.fixture
def files(tmp_path: Path) -> Path:
    predictions = [
        {"id": sample.id, "caption": sample.prediction, "image": Path(sample.image).name}
        for sample in SAMPLES
    ]
    references = [{"id": sample.id, "references": sample.references} for sample in SAMPLES]
    for name, rows in {"predictions": predictions, "references": references[::-1]}.items():
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    return tmp_path


def run(folder: Path, checkpoint: Path, *more: str) -> tuple[int, Any]:
    out = folder / "made" / "out.json"
    files = ["--predictions", str(folder / "predictions.jsonl"), "--output", str(out)]
    places = ["--image-dir", str(PHOTOS[0].parent), "--checkpoint", str(checkpoint)]
    code = main([*files, *places, *more])
    return code, json.loads(out.read_text("utf-8")) if out.exists() else None


def test_the_runner_writes_means_and_items(
    files: Path, tiny_clip: Path, scorer: DescriptionScore
) -> None:
    code, found = run(files, tiny_clip, "--references", str(files / "references.jsonl"))
    expected = scorer([*PHOTOS], CAPTIONS, REFERENCES)
    assert code == 0
    assert found["RefDescriptionScore"] == pytest.approx(expected.mean)
    assert found["DescriptionScore"] == pytest.approx(scorer([*PHOTOS], CAPTIONS).mean, abs=1e-6)
    assert [item["RefDescriptionScore"] for item in found["per_item"].values()] == pytest.approx(
        expected.scores.tolist()
    )
    code, found = run(files, tiny_clip)
    assert (code, [*found]) == (0, ["DescriptionScore", "per_item", "signature"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[1]", "line 5 is not an object with an id"),
        ("{", "line 5 is not JSON"),
        ('{"id": "item-0", "caption": "a"}', "line 5 repeats id 'item-0'"),
        ('{"id": "x", "caption": "a", "image": "x.jpg"}', "x.jpg') does not exist"),
    ],
)
def test_a_line_that_cannot_be_scored_is_named(
    files: Path, tiny_clip: Path, line: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with (files / "predictions.jsonl").open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    assert run(files, tiny_clip) == (2, None)
    assert message in capsys.readouterr().err


def test_capevalkit_takes_both(
    files: Path, tiny_clip: Path, scorer: DescriptionScore, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It needs `datasets<4`, and with it an environment of its own.
    pytest.importorskip("capevalkit", exc_type=ImportError)
    from capevalkit.domain.evaluation.policies import MetricOutputNormalizationPolicy
    from capevalkit.infrastructure.benchmarks.legacy import BenchmarkItem
    from capevalkit.interfaces import python_api

    items = [
        BenchmarkItem(s.id, s.image, s.prediction or "", s.references, float(place))
        for place, s in enumerate(SAMPLES)
    ]
    monkeypatch.setattr(python_api, "load_benchmark", lambda *_, **__: items)
    result = python_api.evaluate_metric(
        benchmark="flickr8k-ex", metric=CaptionMetric(scorer), metric_name="DescriptionScore"
    )
    expected = scorer([*PHOTOS], CAPTIONS)
    made = result["raw_metric_output"]["DescriptionScore"]
    assert made["score"] == pytest.approx(expected.mean, abs=1e-6)
    assert result["num_samples"] == len(items)

    _, output = run(files, tiny_clip, "--references", str(files / "references.jsonl"))
    read = MetricOutputNormalizationPolicy().score_values(output, "RefDescriptionScore")
    assert read[1] == {
        name: pytest.approx(value)
        for name, value in CaptionMetric(scorer, references=True)(SAMPLES).items()
    }
