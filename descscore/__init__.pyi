from .errors import DemonstrationWarning as DemonstrationWarning
from .errors import DescscoreError as DescscoreError
from .explain.explanation import Explanation as Explanation
from .metric import DescriptionScore as DescriptionScore
from .metric_options import CLIPSCORE_PREFIX as CLIPSCORE_PREFIX
from .results import Embeddings as Embeddings
from .results import Problem as Problem
from .results import Scores as Scores
