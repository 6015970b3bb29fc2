from .explanation import Attributions as Attributions
from .explanation import Explanation as Explanation
from .explanation import Span as Span
