"""Keep pandas out of the projector. pyarrow loads it, where it is installed, only to ask whether a list is one of its
series: 80 MB and a third of a second for a no.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


class _NotHere(MetaPathFinder):
    def find_spec(  # the protocol of finders
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 -- as above
        target: ModuleType | None = None,  # noqa: ARG002 -- as above
    ) -> ModuleSpec | None:
        if fullname == "pandas":
            raise ModuleNotFoundError("the projector does without pandas", name=fullname)
        return None


def install() -> None:
    """From here on this process has no pandas."""
    sys.meta_path.insert(0, _NotHere())
