"""One program of several, chosen by the sizes of a request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from suture.codegen.backend.base import Array, Slot
from suture.errors import RequestError


class OfSizes(Protocol):
    """A program with fixed shapes."""

    inputs: tuple[Slot, ...]

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run once."""


class BySizes:
    """Runs the program that takes exactly the shapes given.

    Args:
        programs: Those of one library.
    """

    def __init__(self, programs: Iterable[OfSizes]) -> None:
        self.programs = tuple(programs)

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run once.

        Raises:
            RequestError: There is no program for these shapes; names those there are.
        """
        return self.choose(inputs)(inputs)

    def choose(self, inputs: Mapping[str, Array]) -> OfSizes:
        """Return the program for a request.

        Raises:
            RequestError: As above.
        """
        for program in self.programs:
            if all(_shape(inputs, slot) == slot.shape for slot in program.inputs):
                return program
        taken = "; ".join(", ".join(map(str, each.inputs)) for each in self.programs)
        raise RequestError(f"there is no program for these sizes; there are for {taken}")


def _shape(inputs: Mapping[str, Array], slot: Slot) -> tuple[int, ...] | None:
    array = inputs.get(slot.name)
    return None if array is None else array.shape
