"""What Python 3.11 lacks of Linux: a timer by a clock that counts sleep, and memory that is never paged out.

poll(2)'s own timeout stands still while the machine sleeps; a timerfd by CLOCK_BOOTTIME is overdue when it wakes.
"""

from __future__ import annotations

import ctypes
import os
import time

from ..libc import LIBC

TFD_NONBLOCK = os.O_NONBLOCK
TFD_CLOEXEC = os.O_CLOEXEC
TFD_TIMER_ABSTIME = 1
MCL_CURRENT, MCL_FUTURE = 1, 2


class _Itimerspec(ctypes.Structure):
    _fields_ = (
        ("interval_s", ctypes.c_long), ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long), ("value_ns", ctypes.c_long),
    )  # fmt: skip


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot {what}: {os.strerror(number)}")
    return result


def boottime_ms() -> int:
    """CLOCK_BOOTTIME now."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


class Timer:
    """Readable (poll) once its moment has come."""

    def __init__(self) -> None:
        self.fd = _checked(
            LIBC.timerfd_create(time.CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC), "make a timer"
        )

    def set(self, at_ms: int | None) -> None:
        """Only this moment (CLOCK_BOOTTIME) counts from now on; one that is over has come. None: never."""
        seconds, rest_ms = divmod(max(at_ms, 1), 1000) if at_ms is not None else (0, 0)
        spec = _Itimerspec(0, 0, seconds, rest_ms * 1_000_000)
        _checked(LIBC.timerfd_settime(self.fd, TFD_TIMER_ABSTIME, ctypes.byref(spec), None), "set the timer")

    def close(self) -> None:
        os.close(self.fd)


def stay_in_memory() -> None:
    """What is loaded stays so: a disk that hangs is what makes systemd hang, too. Raises OSError."""
    _checked(LIBC.mlockall(MCL_CURRENT | MCL_FUTURE), "lock memory")
