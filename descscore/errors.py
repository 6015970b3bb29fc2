"""Every error that descscore raises on purpose, and its warning.

DescscoreError
├── InputError (ValueError)            an image or a text that cannot be scored
│   ├── ImageError                     unreadable, truncated, empty, too large, wrong values
│   │   └── ImageNotFoundError (FileNotFoundError)
│   ├── TextError                      empty, not a string, too long
│   └── PairingError                   images and texts do not match
├── OptionError (ValueError)           an option outside its allowed values
├── CheckpointError (ValueError)       a checkpoint that cannot be used
│   ├── CheckpointNotFoundError (FileNotFoundError)
│   └── UnsafeCheckpointError          pickled weights only
├── TableError (ValueError)            a table of pairs that cannot be read or written
├── DocumentError (ValueError)         a document that cannot be audited
├── RecipeError (ValueError)           an invalid training recipe
├── WriteError (OSError)               a file of a training run that cannot be written
└── MissingExtraError (ImportError)    an optional dependency that is not installed
"""

from __future__ import annotations

from typing import Self


class DescscoreError(Exception):
    """Base class of all errors of descscore."""


class InputError(DescscoreError, ValueError):
    """An image or a text that cannot be scored; the message names its position in the input.

    Attributes:
        reason: what is wrong, without the position.
        kind: "image", "text", "source", "context" or "reference 2 of image"; None if the caller
            gave only one item, or the error has no item.
        position: position of the item in the input.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.kind: str | None = None
        self.position: int | None = None

    def at(self, kind: str, position: int) -> Self:
        """The same error with the position of its item."""
        located = type(self)(self.reason)
        located.kind, located.position = kind, position
        return located

    def __str__(self) -> str:
        return self.reason if self.kind is None else f"{self.kind} {self.position} {self.reason}"


class ImageError(InputError):
    """An image that cannot be scored."""


class ImageNotFoundError(ImageError, FileNotFoundError):
    """An image path that does not exist."""


class TextError(InputError):
    """A text that cannot be scored."""


class PairingError(InputError):
    """Images and texts whose numbers or nesting do not match."""


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


class DocumentError(DescscoreError, ValueError):
    """A document that cannot be audited; the message continues after the document's name."""


class RecipeError(DescscoreError, ValueError):
    """An invalid training recipe."""


class WriteError(DescscoreError, OSError):
    """A file of a training run that cannot be written; free space and the run can resume."""


class MissingExtraError(DescscoreError, ImportError):
    """An optional dependency that is not installed; the message says how to install it."""


class DemonstrationWarning(UserWarning):
    """The shipped checkpoint is small; it demonstrates what a full-size CLIP is for."""
