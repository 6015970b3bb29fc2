"""What all integrations have in common."""

from __future__ import annotations

import importlib
import sys

import pytest

from descscore.errors import MissingExtraError


@pytest.mark.parametrize("library", ["torchmetrics"])
def test_an_absent_library_is_one_line_that_names_the_extra(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, f"descscore.integrations.{library}", raising=False)
    with pytest.raises(MissingExtraError) as caught:
        importlib.import_module(f"descscore.integrations.{library}")
    assert str(caught.value) == (
        f'this needs {library}, which is not installed: pip install "descscore[{library}]"'
    )
