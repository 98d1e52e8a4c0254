"""An operator's app file: TOML to apps, or all of its faults at once, each with its line. No I/O.

`parse` reads a file, `check_app` judges an app that came over the wire by the same rules, `json_schema` describes the
file to editors; all three come from one table of fields.
"""

from .faults import Fault, Faults, format_faults
from .parse import Parsed, check_app, json_schema, parse, with_artifacts

__all__ = [
    "Fault",
    "Faults",
    "Parsed",
    "check_app",
    "format_faults",
    "json_schema",
    "parse",
    "with_artifacts",
]
