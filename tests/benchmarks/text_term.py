"""What relevance costs when a term that looks at texts alone is added to the base's cosines.

    python -m tests.benchmarks.text_term DATA

DATA holds `concadia-val200/`, `concadia-test-texts.csv.gz` and `contextref/`. The term is the logit
of a TF-IDF classifier of descriptions and captions, in units of its standard deviation.

The last column is what a normal model expects. Let the cosines of an image with texts of other
images have variance 1 and those of another image's two texts the correlation c. A term of variance
t, which alone ranks a share a of the pairs right, lowers relevance from r to
Phi(z(r) / sqrt(1 + t)) and makes preference Phi(z(a) sqrt(t) / sqrt(1 - c + t)), where Phi is the
normal distribution function and z its inverse.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import norm
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union

from descscore import DescriptionScore
from descscore.datasets.concadia import read_concadia
from descscore.evaluate.preference import preference_share, relevance_share
from descscore_training.pairs.rows import held_out_rows

WEIGHTS = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8)


def main(data: Path) -> None:
    """Print a row a weight."""
    pairs = pd.read_csv(data / "concadia-test-texts.csv.gz", keep_default_na=False)
    held = held_out_rows(list(pairs["filename"]), 1000)
    pairs = pairs[[row not in held for row in range(len(pairs))]]
    more = pd.read_csv(data / "contextref" / "pairs.csv", keep_default_na=False)
    captions = [*pairs["caption"], *more["caption"]]
    descriptions = [*pairs["description"], *more["description"]]
    classifier = make_pipeline(
        make_union(
            TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True),
            TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), min_df=3, sublinear_tf=True),
        ),
        LogisticRegression(C=8, max_iter=500),
    )
    classifier.fit([*captions, *descriptions], [0] * len(captions) + [1] * len(descriptions))

    examples = read_concadia(data / "concadia-val200")
    images = [example.image for example in examples]
    sides = ([e.description for e in examples], [e.caption for e in examples])
    metric = DescriptionScore("mini/base", scale="cosine")
    cosines = [metric(images, texts, pairwise=True).scores for texts in sides]
    terms = np.stack([classifier.decision_function(texts) for texts in sides])
    terms /= terms.std()
    ranked = preference_share(*terms).value
    others = ~np.eye(len(images), dtype=bool)
    agreement = np.mean(
        [
            np.corrcoef(*(side[row, others[row]] for side in cosines))[0, 1]
            for row in range(len(images))
        ]
    )
    before = relevance_share(cosines[0]).value
    at_target = expected(before, before - 0.02, ranked, agreement)
    sys.stdout.write(
        f"The term alone ranks {ranked:.3f} of the pairs right; an image's cosines with another "
        f"image's two texts correlate at {agreement:.2f}. Where relevance is 0.02 lower, a "
        f"preference of {at_target:.3f} is expected.\n"
    )
    for weight in WEIGHTS:
        scores = [of + weight * term for of, term in zip(cosines, terms, strict=True)]
        higher = preference_share(*(np.diagonal(side) for side in scores))
        kept = [relevance_share(side).value for side in scores]
        model = expected(before, kept[0], ranked, agreement)
        shares = " | ".join(f"{share:.3f}" for share in (higher.value, *kept, model))
        sys.stdout.write(f"| {weight} | {shares} |\n")


def expected(before: float, after: float, ranked: float, agreement: float) -> float:
    """The preference that goes with a fall of relevance, in the normal model."""
    term = (norm.ppf(before) / norm.ppf(after)) ** 2 - 1
    return float(norm.cdf(norm.ppf(ranked) * np.sqrt(term / (1 - agreement + term))))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
