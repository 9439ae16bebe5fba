"""Disks that are full, read-only or rotten, and files that are gone."""

import contextlib
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path


class NotPermitted(Exception):
    """This machine does not let us mount anything."""


def _mount(*arguments: str) -> None:
    try:
        done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    except OSError as error:
        raise NotPermitted(str(error)) from None
    if done.returncode:
        raise NotPermitted(done.stderr.strip())


@contextlib.contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[None]:
    """The folder, empty, on a disk of that size. Raises :class:`NotPermitted`."""
    folder.mkdir(parents=True, exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder))
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def enlarge(folder: Path) -> None:
    """Make room on a small disk."""
    _mount("-o", "remount,size=256m", str(folder))


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """The folder as on a read-only disk, for root as well. Raises :class:`NotPermitted`."""
    _mount("--bind", str(folder), str(folder))
    try:
        _mount("-o", "remount,ro,bind", str(folder))
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def rot(path: Path, source: random.Random) -> str:
    """Cut a file, or turn one of its bits, as a disk does: its times stay. Returns what was done."""
    times, content = path.stat(), bytearray(path.read_bytes())
    if not content:
        return "is empty as it was"
    place = source.randrange(len(content))
    if source.random() < 0.3:
        done, content = f"cut after {place} bytes", content[:place]
    else:
        bit = source.randrange(8)
        content[place] ^= 1 << bit
        done = f"bit {bit} of byte {place} turned"
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    return done
