"""Audits of alt texts: documents → image elements → rules and scores → findings → report.

Needs the extra `audit`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
