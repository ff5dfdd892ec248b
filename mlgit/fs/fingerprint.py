"""Cheap evidence that a file has not changed: its name, mode, inode, size, mtime and ctime.

ctime is in it because no ordinary program can set it back. Evidence on a file that was touched within one tick of the
clock proves nothing (a later write in the same tick would leave it equal), so its fingerprint is recorded as `UNSURE`.
xxHash is right here: these numbers never leave the machine and never name content.
"""

from __future__ import annotations

import os
import stat
import struct
import time
from typing import Final

from xxhash import xxh3_64_intdigest

UNSURE: Final = 0
TICK_NS: Final = 20_000_000
_COARSE_NS: Final = 2_000_000_000
_STAT: Final = struct.Struct("<xIQQqq")  # the byte of padding is a NUL, which ends the name
_FOLDER: Final = struct.Struct("<xI32s")
_pack = _STAT.pack


def evidence(name: str, found: os.stat_result) -> bytes:
    """What `found` says of the file or link `name`, as bytes that sort by name; no two files give the same."""
    return name.encode(errors="surrogateescape") + _pack(
        found.st_mode, found.st_ino & 0xFFFFFFFFFFFFFFFF, found.st_size, found.st_mtime_ns, found.st_ctime_ns
    )


def folder_evidence(name: str, digest: bytes) -> bytes:
    """The same for a sub-folder, whose 32-byte `digest` stands for everything in it."""
    return name.encode() + _FOLDER.pack(stat.S_IFDIR, digest)


def parse(line: bytes) -> tuple[str, int, int, int]:
    """Name, mode, size, and when it was last touched, in ns, of a file's evidence; of a folder's, name and mode."""
    mode, _, size, mtime, ctime = _STAT.unpack_from(line, len(line) - _STAT.size)
    return name_of(line), mode, size, mtime if mtime > ctime else ctime  # noqa: FURB136 - twice as fast


def name_of(line: bytes) -> str:
    """The name that the evidence `line` is about."""
    return line[: -_STAT.size].decode(errors="surrogateescape")


def fingerprint(line: bytes) -> int:
    """64 bits over the evidence `line`; never `UNSURE`."""
    return xxh3_64_intdigest(line) or 1


def settled(touched: int, before: int) -> bool:
    """Whether a file last touched at `touched` was quiet before `before`, the moment its bytes were read; both in ns.

    A time of whole seconds may come from a file system that keeps no finer ones, so two seconds must have passed.
    """
    return touched + (TICK_NS if touched % 1_000_000_000 else _COARSE_NS) < before


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
