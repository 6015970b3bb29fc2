"""Makes torchvision importable beside a torch that it was not built for; to be imported first.

PyPI's torchvision fails beside another build of torch since two of its compiled operators are not
there when it registers their shapes. No test needs them, so they are declared in their place.
"""

from __future__ import annotations

import importlib
import importlib.util
import warnings

import torch
from torch.library import Library

INSTALLED = importlib.util.find_spec("torchvision") is not None

if INSTALLED:
    LIBRARY = Library("torchvision", "FRAGMENT")
    with warnings.catch_warnings(action="ignore"):
        for name in ("nms", "qnms"):
            if not hasattr(torch.ops.torchvision, name):
                LIBRARY.define(f"{name}(Tensor boxes) -> Tensor")
        importlib.import_module("torchvision")
