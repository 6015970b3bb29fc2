"""`python -m descscore.cli`, as `accelerate launch -m descscore.cli` starts it."""

from __future__ import annotations

from descscore.cli.app import main

if __name__ == "__main__":
    main()
