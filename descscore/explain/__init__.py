"""Why a text got its score: what each word adds, through the purpose subspace and around it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
