"""Score three texts for one photo, then the best text for each of four photos."""

from __future__ import annotations

from pathlib import Path

from descscore import DescriptionScore

PHOTOS = Path(__file__).parent / "photos"


def main() -> None:
    """Print scores of the sample photos."""
    metric = DescriptionScore()

    texts = [
        "The face of a tabby cat with green eyes, seen from close up.",
        "Chelsea, photographed by Stefan van der Walt.",
        "A white rocket stands between lattice towers at dusk.",
    ]
    result = metric(PHOTOS / "chelsea.jpg", texts)
    for text, score in zip(texts, result.scores, strict=True):
        print(f"{score:.3f}  {text}")

    photos = sorted(PHOTOS.glob("*.jpg"))
    labels = ["an astronaut", "a cat", "a cup of coffee", "a rocket"]
    matrix = metric(photos, [f"A photo of {label}" for label in labels], pairwise=True).scores
    for photo, row in zip(photos, matrix, strict=True):
        print(f"{photo.name}: {labels[row.argmax()]}")

    print(result.signature)


if __name__ == "__main__":
    main()
