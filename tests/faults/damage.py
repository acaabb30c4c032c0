"""Ways to damage a file."""

import random
from collections.abc import Callable
from pathlib import Path

Damage = Callable[[Path], None]


def remove(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    """Lose the last bytes, as when the disk was full or the machine lost power."""
    content = path.read_bytes()
    path.write_bytes(content[: -max(1, len(content) // 3)])


def zero_half(path: Path) -> None:
    """As many bytes as before, of which the second half was never written to disk."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))


def flip_bit(path: Path, place: int | None = None) -> None:
    """Change one bit; `place`: its number in the file; by default it is in the middle."""
    content = bytearray(path.read_bytes())
    place = len(content) * 4 if place is None else place
    content[place // 8] ^= 1 << place % 8
    path.write_bytes(content)


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"\0")


def become_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def places(path: Path, number: int, seed: int = 0) -> list[int]:
    """Numbers of bits, drawn from all of a file."""
    size = path.stat().st_size * 8
    return sorted(random.Random(seed).sample(range(size), min(number, size)))
