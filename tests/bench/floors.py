"""What the disk and Python can do at best, as a program of its own: `python floors.py scan|pack|draw …`.

It runs as a process like the tools do, so that Python's start is part of a floor as it is part of theirs. It must
never import mlgit: a floor that used the code it judges would move with it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator


def scan(root: str) -> Iterator[os.DirEntry[str]]:
    """Every file below `root`, with its `stat` asked once: the least that a status does."""
    pending = [root]
    while pending:
        with os.scandir(pending.pop()) as found:
            for entry in found:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                else:
                    entry.stat(follow_symlinks=False)
                    yield entry


def pack(root: str, target: str) -> None:
    """Read and hash every file below `root` and append it to one file: the least that an add does."""
    from blake3 import blake3

    with open(target, "wb") as out:
        for entry in scan(root):
            file = os.open(entry.path, os.O_RDONLY)
            data = os.read(file, entry.stat(follow_symlinks=False).st_size)
            os.close(file)
            blake3(data).digest()
            out.write(data)


def draw(examples: int, resamples: int) -> None:
    """Draw `resamples` times how often each of four kinds of `examples` comes up: the least that a bootstrap does."""
    import numpy as np

    np.random.default_rng(0).multinomial(examples, [0.85, 0.05, 0.05, 0.05], resamples)


if __name__ == "__main__":
    if sys.argv[1] == "draw":
        draw(int(sys.argv[2]), int(sys.argv[3]))
    elif sys.argv[1] == "scan":
        for _ in scan(sys.argv[2]):
            pass
    else:
        pack(sys.argv[2], sys.argv[3])
