"""A rehearsal of a mesh on one machine: real nodes and a hub, on a small internet that can be cut.

`Lab` is all that users of this package need. Light to import: what builds a lab is imported by its own processes.
"""

from .client import Lab
from .errors import LabError
from .wire import Host, Status

__all__ = ["Host", "Lab", "LabError", "Status"]
