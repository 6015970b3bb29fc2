"""Every error that descscore raises on purpose.

DescscoreError
├── InputError (ValueError)            an image or a text that cannot be scored
│   ├── ImageError                     unreadable, truncated, empty, too large, wrong values
│   │   └── ImageNotFoundError (FileNotFoundError)
│   ├── TextError                      empty, not a string, too long
│   └── PairingError                   images and texts do not fit together
├── OptionError (ValueError)           an option outside its allowed values
├── CheckpointError (ValueError)       a checkpoint that cannot be used
│   ├── CheckpointNotFoundError (FileNotFoundError)
│   └── UnsafeCheckpointError          pickled weights only
├── TableError (ValueError)            a table of pairs that cannot be read or written
├── RecipeError (ValueError)           a training recipe that cannot be followed
├── WriteError (OSError)               a file of a training run that cannot be written
└── MissingExtraError (ImportError)    an optional dependency that is not installed
"""

from __future__ import annotations


class DescscoreError(Exception):
    """The root: catch it to catch all of them."""


class InputError(DescscoreError, ValueError):
    """An image or a text that cannot be scored; the message names its position in the input."""


class ImageError(InputError):
    """An image that cannot be scored."""


class ImageNotFoundError(ImageError, FileNotFoundError):
    """An image path that leads nowhere."""


class TextError(InputError):
    """A text that cannot be scored."""


class PairingError(InputError):
    """Images and texts whose numbers or nesting do not fit together."""


class OptionError(DescscoreError, ValueError):
    """An option outside its allowed values."""


class CheckpointError(DescscoreError, ValueError):
    """A checkpoint that is broken, incomplete or does not fit."""


class CheckpointNotFoundError(CheckpointError, FileNotFoundError):
    """A checkpoint that is neither shipped, nor a folder, nor on the Hub, nor in its cache."""


class UnsafeCheckpointError(CheckpointError):
    """A checkpoint with pickled weights only, which could run code when loaded."""


class TableError(DescscoreError, ValueError):
    """A table of pairs that cannot be read or written."""


class RecipeError(DescscoreError, ValueError):
    """A training recipe that cannot be followed."""


class WriteError(DescscoreError, OSError):
    """A file of a training run that cannot be written; with room made, the run can go on."""


class MissingExtraError(DescscoreError, ImportError):
    """An optional dependency that is not installed; the message says how to install it."""
