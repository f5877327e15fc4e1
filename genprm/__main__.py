"""``python -m genprm`` is ``genprm``."""

from __future__ import annotations

from genprm.cli import main

if __name__ == "__main__":
    main()
