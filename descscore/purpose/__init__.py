"""The purpose subspace: where a text tower encodes whether a text is a description or a caption."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
