"""A metric for capevalkit: a callable for its Python API, and a runner for its command line."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from descscore.errors import DescscoreError, TableError
from descscore.metric import DescriptionScore
from descscore.strict_json import dump, parse

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME, REFERENCE_NAME = "DescriptionScore", "RefDescriptionScore"


class CaptionSample(Protocol):
    """What capevalkit gives to a metric for each item."""

    id: str
    image: str
    references: list[str]
    prediction: str | None


class CaptionMetric:
    """Scores capevalkit's samples; give it to `capevalkit.api.evaluate_metric`.

    Args:
        scorer: scores the pairs, with its options; by default `DescriptionScore()`.
        references: also use the references: scores are then RefCLIPScores.
    """

    def __init__(self, scorer: DescriptionScore | None = None, *, references: bool = False) -> None:
        self.scorer = DescriptionScore() if scorer is None else scorer
        self.references = references

    def __call__(self, samples: Sequence[CaptionSample]) -> dict[str, float]:
        """The score of each sample by id; NaN where a recording scorer failed.

        Raises:
            ImageError, TextError, PairingError, OptionError: as for a call of `DescriptionScore`.
        """
        result = self.scorer(
            [sample.image for sample in samples],
            [sample.prediction or "" for sample in samples],
            [sample.references for sample in samples] if self.references else None,
        )
        names = [sample.id for sample in samples]
        return dict(zip(names, result.scores.tolist(), strict=True))


def score_files(
    predictions: Path, references: Path | None, images: Path, scorer: DescriptionScore
) -> dict[str, Any]:
    """Score a file of predictions, as capevalkit's runners do.

    Args:
        predictions: JSON lines with `id`, `caption` or `prediction`, and `image`.
        references: JSON lines with `id` and `references`.
        images: the folder that image paths are relative to.
        scorer: scores the pairs.

    Returns:
        The mean of each kind of score by name, and `per_item` the scores of each id.

    Raises:
        TableError: a line that is not such an object, or an id without references.
        ImageError, TextError: an item that cannot be scored.
    """
    rows = _by_id(predictions)
    captions: list[Any] = [row.get("caption", row.get("prediction")) for row in rows.values()]
    listed = None
    if references is not None:
        known = _by_id(references)
        if missing := [name for name in rows if not known.get(name, {}).get("references")]:
            raise TableError(
                f"{references} has no references of id {missing[0]!r}; add them, or omit "
                "--references"
            )
        listed = [known[name]["references"] for name in rows]
        listed = [[each] if isinstance(each, str) else each for each in listed]
    result = scorer(
        [images / str(row.get("image", row.get("image_path", name))) for name, row in rows.items()],
        captions,
        listed,
    )
    columns = {NAME: result.scores}
    if result.image_scores is not None:
        columns = {NAME: result.image_scores, REFERENCE_NAME: result.scores}
    return {
        **{name: float(values.mean(dtype="float64")) for name, values in columns.items()},
        "per_item": {
            item: {name: float(values[place]) for name, values in columns.items()}
            for place, item in enumerate(rows)
        },
        "signature": result.signature,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as capevalkit's runner: `python -m descscore.integrations.capevalkit`."""
    parser = argparse.ArgumentParser("descscore.integrations.capevalkit", description=main.__doc__)
    parser.add_argument("--predictions", type=Path, required=True, help="JSON lines to score")
    parser.add_argument("--references", type=Path, help="JSON lines of references")
    parser.add_argument("--image-dir", type=Path, default=Path(), help="folder of the images")
    parser.add_argument("--output", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--checkpoint", help="folder, Hub id or mini")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    options = parser.parse_args(arguments)
    try:
        scorer = DescriptionScore(options.checkpoint, device=options.device)
        found = score_files(options.predictions, options.references, options.image_dir, scorer)
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(dump(found) + "\n", encoding="utf-8")
    except (DescscoreError, OSError) as error:
        sys.stderr.write(f"Error: {error}\n")
        return 2
    return 0


def _by_id(path: Path) -> dict[str, dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = parse(line)
        except ValueError as error:
            raise TableError(f"{path}: line {number} is {error}; repair it") from None
        if not isinstance(row, dict) or "id" not in row:
            raise TableError(f"{path}: line {number} is not an object with an id; add one")
        if str(row["id"]) in rows:
            raise TableError(f"{path}: line {number} repeats id {row['id']!r}; make ids unique")
        rows[str(row["id"])] = row
    return rows


if __name__ == "__main__":
    sys.exit(main())
