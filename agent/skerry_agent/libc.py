"""The C library, for what Python has no function for. Loaded once: each loading makes classes that only the collector
of cycles ends.
"""

from __future__ import annotations

import ctypes

LIBC = ctypes.CDLL(None, use_errno=True)
