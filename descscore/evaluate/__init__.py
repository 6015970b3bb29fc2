"""What a metric's scores are worth, as frozen records; needs the extra `evaluate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from descscore.lazy import lazy_names

if TYPE_CHECKING:
    from descscore.evaluate.benchmarks.measures import BenchmarkResult, Measure
    from descscore.evaluate.benchmarks.run import read_benchmark, run_benchmark
    from descscore.evaluate.calibrate import (
        Calibration,
        Weighted,
        calibrate_purpose,
        draw_calibration,
    )
    from descscore.evaluate.class_names import ClassNames, read_class_names, read_templates
    from descscore.evaluate.classification import ClassResult, Confusion, Transfer
    from descscore.evaluate.compare import Change, Comparison, compare_scores
    from descscore.evaluate.correlations import correlation, partial_correlation
    from descscore.evaluate.human import (
        HumanRatings,
        Predictor,
        Question,
        human_ratings,
        score_items,
    )
    from descscore.evaluate.norms import Norms, correlate_norms, sample_texts
    from descscore.evaluate.preference import (
        PreferenceReport,
        evaluate_preference,
        preference_share,
        relevance_share,
    )
    from descscore.evaluate.resamples import bootstrap, estimate_mean
    from descscore.evaluate.scored_pairs import ScoredPairs, pair_scores
    from descscore.evaluate.statistics import paired_permutation, seed_interval, wilson
    from descscore.evaluate.transfer import PROMPT, TransferReport, classify, evaluate_transfer
    from descscore.evaluate.two_metrics import score_twice
    from descscore.results import Estimate

_HOME = {
    "Calibration": "calibrate",
    "Weighted": "calibrate",
    "calibrate_purpose": "calibrate",
    "draw_calibration": "calibrate",
    "Estimate": "resamples",
    "BenchmarkResult": "benchmarks.measures",
    "Change": "compare",
    "ClassNames": "class_names",
    "ClassResult": "classification",
    "Comparison": "compare",
    "Confusion": "classification",
    "HumanRatings": "human",
    "Measure": "benchmarks.measures",
    "Norms": "norms",
    "PROMPT": "transfer",
    "Predictor": "human",
    "PreferenceReport": "preference",
    "Question": "human",
    "ScoredPairs": "scored_pairs",
    "Transfer": "classification",
    "TransferReport": "transfer",
    "bootstrap": "resamples",
    "classify": "transfer",
    "compare_scores": "compare",
    "correlate_norms": "norms",
    "correlation": "correlations",
    "estimate_mean": "resamples",
    "evaluate_preference": "preference",
    "evaluate_transfer": "transfer",
    "human_ratings": "human",
    "pair_scores": "scored_pairs",
    "paired_permutation": "statistics",
    "partial_correlation": "correlations",
    "preference_share": "preference",
    "read_benchmark": "benchmarks.run",
    "read_class_names": "class_names",
    "read_templates": "class_names",
    "relevance_share": "preference",
    "run_benchmark": "benchmarks.run",
    "sample_texts": "norms",
    "score_items": "human",
    "score_twice": "two_metrics",
    "seed_interval": "statistics",
    "wilson": "statistics",
}

__all__ = [
    "PROMPT",
    "BenchmarkResult",
    "Calibration",
    "Change",
    "ClassNames",
    "ClassResult",
    "Comparison",
    "Confusion",
    "Estimate",
    "HumanRatings",
    "Measure",
    "Norms",
    "Predictor",
    "PreferenceReport",
    "Question",
    "ScoredPairs",
    "Transfer",
    "TransferReport",
    "Weighted",
    "bootstrap",
    "calibrate_purpose",
    "classify",
    "compare_scores",
    "correlate_norms",
    "correlation",
    "draw_calibration",
    "estimate_mean",
    "evaluate_preference",
    "evaluate_transfer",
    "human_ratings",
    "pair_scores",
    "paired_permutation",
    "partial_correlation",
    "preference_share",
    "read_benchmark",
    "read_class_names",
    "read_templates",
    "relevance_share",
    "run_benchmark",
    "sample_texts",
    "score_items",
    "score_twice",
    "seed_interval",
    "wilson",
]

__getattr__, __dir__ = lazy_names(__name__, _HOME)
