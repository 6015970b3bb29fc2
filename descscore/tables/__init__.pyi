from .explaining import ExplainSummary as ExplainSummary
from .explaining import explain_table as explain_table
from .scoring import ScoreOptions as ScoreOptions
from .scoring import score_table as score_table
from .shards import join_shards as join_shards
from .shards import run_shards as run_shards
from .summary import Summary as Summary
