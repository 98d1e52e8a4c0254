"""placeholder, StateDir follows."""

from .files import DiskError, write_atomic

__all__ = ["DiskError", "write_atomic"]
