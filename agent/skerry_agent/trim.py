"""Gives memory that is free inside of the process back to the machine.

Loading modules, a TLS handshake and a large assignment leave the heap in pieces, which the C library keeps for later;
an agent at rest has no later. By malloc_trim(3); where the C library has none, nothing is done.
"""

from __future__ import annotations

import asyncio

from .libc import LIBC

FIRST_S = 5.0  # the start is over by then
EVERY_S = 60.0  # what changes leave behind goes soon too; it takes a fraction of a millisecond


def keep_small(loop: asyncio.AbstractEventLoop, after_s: float = FIRST_S) -> None:
    """Now and then, for as long as the loop runs."""
    loop.call_later(after_s, _again, loop)


def _again(loop: asyncio.AbstractEventLoop) -> None:
    give_back()
    keep_small(loop, EVERY_S)


def give_back() -> bool:
    """Once. Whether anything was given back."""
    trim = getattr(LIBC, "malloc_trim", None)
    return trim is not None and bool(trim(0))
