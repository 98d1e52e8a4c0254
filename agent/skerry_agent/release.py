"""Which release this is, told by the name of what is installed.

importlib.metadata says it too, and keeps two megabytes of archives and mail in the memory of a process that asks once.
"""

from __future__ import annotations

import sys
from pathlib import Path

NAME = "skerry"
SUFFIX = ".dist-info"


def version() -> str:
    """As in "0.1.0". Raises importlib.metadata.PackageNotFoundError where Skerry is not installed."""
    for place in sys.path:
        for folder in Path(place).glob(f"{NAME}-*{SUFFIX}"):
            return folder.name.removeprefix(f"{NAME}-").removesuffix(SUFFIX)
    from importlib import metadata  # noqa: PLC0415 - for what is installed in some other way

    return metadata.version(NAME)
