"""Damage to any file: each function changes the file at a path, which is whole, with random numbers."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

MAGIC = (
    b"\x1f\x8b\x08\x00",
    b"PK\x03\x04",
    b"\x7fELF",
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff\xe0\x00\x10JFIF\x00",
    b"\x00\x00\x00\x18ftypmp42",
    b"RIFF\xff\xff\xff\x7fAVI ",
    b"\x89HDF\r\n\x1a\n",
    b"PAR1",
    b"\x93NUMPY\x01\x00",
    b"#EXTM3U\nfile:///etc/passwd\n",
    b"ffconcat version 1.0\nfile /etc/passwd\n",
    b"#!/bin/sh\ntouch ../outside/trap\n",
)
"""The beginnings of other kinds of files."""

LENGTHS = (0x7FFFFFFF, 0xFFFFFFFF, 0x40000000, 0x00FFFFFF)
LINKS = ("/dev/zero", "/etc/passwd", ".", "../outside/secret", "itself", "/dev/stdin")

Damage = Callable[[Path, np.random.Generator], None]


def truncate(path: Path, random: np.random.Generator) -> None:
    """Cut off the end."""
    os.truncate(path, int(random.integers(path.stat().st_size)))


def flip_bits(path: Path, random: np.random.Generator) -> None:
    """Turn up to 16 bits."""
    data = bytearray(path.read_bytes())
    for place in random.integers(len(data), size=random.integers(1, 17)):
        data[place] ^= 1 << int(random.integers(8))
    path.write_bytes(data)


def exaggerate_lengths(path: Path, random: np.random.Generator) -> None:
    """Write huge numbers of four or eight bytes over up to four places near the beginning or anywhere."""
    data = bytearray(path.read_bytes())
    for _ in range(random.integers(1, 5)):
        end = len(data) if random.random() < 0.5 else min(512, len(data))
        place = int(random.integers(max(1, end - 8)))
        number = int(random.choice(LENGTHS)).to_bytes(4, "big" if random.random() < 0.5 else "little")
        data[place : place + 4] = number
    path.write_bytes(data)


def foreign_magic(path: Path, random: np.random.Generator) -> None:
    """Begin like another kind of file, in place of the own beginning or before it."""
    data, magic = path.read_bytes(), MAGIC[random.integers(len(MAGIC))]
    path.write_bytes(magic + (data[len(magic) :] if random.random() < 0.5 else data))


def repeat_itself(path: Path, random: np.random.Generator) -> None:
    """Append a part of the file, or all of it, to the file."""
    data = path.read_bytes()
    path.write_bytes(data + data[int(random.integers(len(data))) :] + (data if random.random() < 0.5 else b""))


def lose_a_block(path: Path, random: np.random.Generator) -> None:
    """Fill a part with zeros, as a disk does that lost a block."""
    data = bytearray(path.read_bytes())
    first = int(random.integers(len(data)))
    length = min(len(data) - first, int(random.integers(1, 4097)))
    data[first : first + length] = bytes(length)
    path.write_bytes(data)


def become_a_link(path: Path, random: np.random.Generator) -> None:
    """Be a link to an endless device, to a file or folder elsewhere, or to itself."""
    target = LINKS[random.integers(len(LINKS))]
    path.unlink()
    path.symlink_to(path.name if target == "itself" else target)


DAMAGES: tuple[Damage, ...] = (
    truncate,
    flip_bits,
    exaggerate_lengths,
    foreign_magic,
    repeat_itself,
    lose_a_block,
    become_a_link,
)
