"""Numbers of classes or tokens as a user lists them."""

from __future__ import annotations

from pathlib import Path

from suture.errors import Location, PassError


def read_numbers(text: str, at: Location) -> tuple[int, ...]:
    """Return whole numbers in ascending order, each once.

    Args:
        text: Numbers joined by ``+``, or a file of numbers with white space between.
        at: The option, for errors.

    Raises:
        PassError: There is no such file, or something in it is not a whole number from 0.
    """
    words = text.split("+")
    if not all(word.isdecimal() for word in words):
        try:
            words = Path(text).read_text("utf-8").split()
        except (OSError, UnicodeDecodeError) as error:
            raise PassError(
                f"{text!r} is neither numbers joined by + nor a file of numbers ({error})",
                at=at,
            ) from error
    wrong = next((word for word in words if not word.isdecimal()), None)
    if wrong is not None or not words:
        told = "holds no numbers" if wrong is None else f"{wrong!r} is not a number from 0"
        raise PassError(f"{text}: {told}", at=at)
    return tuple(sorted(set(map(int, words))))
