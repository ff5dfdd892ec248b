"""Cheap evidence that a file has not changed: 64 bits over inode, size, mtime and ctime.

ctime is in it because no ordinary program can set it back. A fingerprint of a file that was touched within one tick of
the clock proves nothing (a later write in the same tick would leave it equal), so it is recorded as `UNSURE`.
xxHash is right here: these numbers never leave the machine and never name content.
"""

from __future__ import annotations

import os
import struct
import time
from typing import Final

from xxhash import xxh3_64_intdigest

UNSURE: Final = 0
TICK_NS: Final = 20_000_000
_COARSE_NS: Final = 2_000_000_000
_PACK: Final = struct.Struct("<QQqq").pack


def fingerprint(found: os.stat_result) -> int:
    """64 bits over `found`; never `UNSURE`."""
    return (
        xxh3_64_intdigest(_PACK(found.st_ino & 0xFFFFFFFFFFFFFFFF, found.st_size, found.st_mtime_ns, found.st_ctime_ns))
        or 1
    )


def settled(found: os.stat_result, before_ns: int) -> bool:
    """Whether a file last touched as `found` says was quiet before `before_ns`, the moment its bytes were read.

    A time of whole seconds may come from a file system that keeps no finer ones, so two seconds must have passed.
    """
    touched = max(found.st_mtime_ns, found.st_ctime_ns)
    tick = _COARSE_NS if touched % 1_000_000_000 == 0 else TICK_NS
    return touched + tick < before_ns


def disk_now(probe: str) -> int:
    """The disk's own clock in nanoseconds: the earlier of the system's time and the mtime of a freshly touched `probe`.

    A server's or a faked clock may run beside the local one; trusting the earlier one errs towards hashing again.
    """
    now = time.time_ns()
    try:
        descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
    except OSError:
        return now
    try:
        os.utime(probe)
        return min(now, os.fstat(descriptor).st_mtime_ns)
    except OSError:
        return now
    finally:
        os.close(descriptor)
