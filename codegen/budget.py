"""How many bytes of packed weights a model may have, and which convolutions get them.

Winograd's kernels are faster than direct ones and their packed weights are larger. What the
user allows is spent where a byte saves the most time, over all convolutions of a model before
any is emitted. The decision is a value; each convolution is told how many bytes it may take.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import onnx_ir as ir

from suture.codegen.emit.conv import PLAIN_CHANNELS, WEIGHT_BYTES, read_shape
from suture.codegen.groups.conv import CONV
from suture.codegen.schedule.base import Processor
from suture.codegen.schedule.conv import DirectConv
from suture.codegen.schedule.conv_shape import ConvShape
from suture.codegen.schedule.winograd import Winograd, bears
from suture.compiler.spec import format_spec
from suture.passes.recognise.values import numbers_of, shape_of

SizeSpeed = Literal["size", "balanced", "speed"]
GROWTH: Mapping[SizeSpeed, float] = {"size": 1.0, "balanced": 1.2, "speed": math.inf}
"""Most that all weights of a model may take, in terms of what direct kernels' take."""


@dataclass(frozen=True, kw_only=True)
class Offer:
    """One way to compute a convolution.

    Attributes:
        schedule: Its schedule as a spec.
        cycles: About how long it takes.
        nbytes: Size of its packed weights.
        packing: What tells them from other packings of the same weights.
    """

    schedule: str
    cycles: float
    nbytes: int
    packing: tuple[str, int, int] = ("", 0, 0)


@dataclass(frozen=True, kw_only=True)
class WeightBudget:
    """Which convolutions get larger weights.

    Attributes:
        direct_bytes: All weights of the model where every convolution is direct.
        limit: Most that the user allows, in the same terms.
        chosen: What each convolution with a choice is given, by the name of its output.
        nbytes: All weights of the model with these.
    """

    direct_bytes: int = 0
    limit: float = 0.0
    chosen: Mapping[str, Offer] = field(default_factory=dict)
    nbytes: int = 0

    def __str__(self) -> str:
        many = sum(not offer.schedule.startswith("direct") for offer in self.chosen.values())
        direct = max(self.direct_bytes, 1)
        return (
            f"weights of {self.nbytes} bytes, {self.nbytes / direct:.2f} of those of direct "
            f"kernels (at most {self.limit / direct:.1f}); {many} convolutions by Winograd"
        )


def plan_weights(
    model: ir.Model,
    processor: Processor,
    size_speed: SizeSpeed,
    read: Callable[[ir.Node], ConvShape | None] | None = None,
) -> WeightBudget:
    """Return how a model's weights are spent; nothing is changed.

    Convolutions of the same weights decide together: packed alike, they have them once.

    Args:
        model: The model.
        processor: What it runs on.
        size_speed: How far weights may grow.
        read: Returns a node's convolution, where it is one; by default that of its group.
    """
    sharing: dict[ir.Value, dict[str, tuple[Offer, ...]]] = {}
    for node in model.graph:
        found = tuple(_offers(node, (read or read_group)(node), processor))
        if len(found) > 1 and (weights := node.inputs[1]) is not None:
            sharing.setdefault(weights, {})[str(node.outputs[0].name)] = found
    joint = [_together(list(each.values())) for each in sharing.values()]
    offers = [list(each) for each in joint]
    rest = sum(
        value.const_value.nbytes
        for value in model.graph.initializers.values()
        if value.const_value is not None and value not in sharing
    )
    direct_bytes = rest + sum(each[0].nbytes for each in offers)
    limit = GROWTH[size_speed] * direct_bytes
    taken = spend(offers, limit - rest)
    chosen: dict[str, Offer] = {}
    for names, ways, offer in zip(sharing.values(), joint, taken, strict=True):
        chosen.update(zip(names, ways[offer], strict=True))
    return WeightBudget(
        direct_bytes=direct_bytes,
        limit=limit,
        chosen=chosen,
        nbytes=rest + sum(offer.nbytes for offer in taken),
    )


def _together(offers: Sequence[Sequence[Offer]]) -> dict[Offer, tuple[Offer, ...]]:
    """Return what convolutions of the same weights may take together, the smallest first.

    An offer to all of them, with the bytes of each packing once → that to each.
    """
    found = {}
    for most in sorted({offer.nbytes for each in offers for offer in each}):
        taken = tuple(
            min(
                (offer for offer in each if offer.nbytes <= most),
                key=lambda offer: offer.cycles,
                default=each[0],
            )
            for each in offers
        )
        once = {offer.packing: offer.nbytes for offer in taken}
        cycles = math.fsum(offer.cycles for offer in taken)
        found[Offer(schedule="", cycles=cycles, nbytes=sum(once.values()))] = taken
    return found


def tell(model: ir.Model, budget: WeightBudget) -> None:
    """Write into each convolution how many bytes its packed weights may take, in place."""
    for node in model.graph:
        offer = budget.chosen.get(str(node.outputs[0].name))
        if offer is not None:
            node.attributes[WEIGHT_BYTES] = ir.AttrInt64(WEIGHT_BYTES, offer.nbytes)


def spend(offers: Sequence[Sequence[Offer]], limit: float) -> tuple[Offer, ...]:
    """Return one offer of each convolution, all weights within a limit.

    Greedy over the convex hulls: of all steps to the next larger offer, the one that saves
    the most cycles a byte is taken first. The smallest offers are taken even where they
    exceed the limit. (Multiple-choice knapsack: Sinha & Zoltners, Operations Research 1979.)
    """
    hulls = [_hull(each) for each in offers]
    taken = [hull[0] for hull in hulls]
    used = sum(offer.nbytes for offer in taken)
    steps = [
        (_slope(before, after), number, after)
        for number, hull in enumerate(hulls)
        for before, after in pairwise(hull)
    ]
    full = set()
    # Sorting is stable: of one convolution, the smaller offer comes first.
    for _, number, offer in sorted(steps, key=lambda step: -step[0]):
        more = offer.nbytes - taken[number].nbytes
        if number in full or used + more > limit:
            full.add(number)
            continue
        taken[number], used = offer, used + more
    return tuple(taken)


def _hull(offers: Sequence[Offer]) -> list[Offer]:
    """Return the offers that are best for some price of a byte, the smallest first."""
    hull: list[Offer] = []
    for offer in sorted(offers, key=lambda each: (each.nbytes, each.cycles)):
        if hull and offer.cycles >= hull[-1].cycles:
            continue
        while len(hull) > 1 and _slope(hull[-2], hull[-1]) <= _slope(hull[-1], offer):
            hull.pop()
        hull.append(offer)
    return hull


def _slope(before: Offer, after: Offer) -> float:
    """Return the cycles that a larger offer saves for each of its further bytes."""
    return (before.cycles - after.cycles) / (after.nbytes - before.nbytes)


def read_group(node: ir.Node) -> ConvShape | None:
    """Return the convolution of a group that is one, and none of each channel alone."""
    if node.op_type != CONV or node.attributes["depthwise"].value:
        return None
    x, w = node.inputs[:2]
    attributes = {name: value.value for name, value in node.attributes.items()}
    plain = shape_of(x)[1] <= PLAIN_CHANNELS
    return read_shape(shape_of(x), shape_of(w), attributes, plain=plain)


def _offers(node: ir.Node, shape: ConvShape | None, processor: Processor) -> Iterator[Offer]:
    """Yield the best direct way to compute a convolution, then better ones that are larger."""
    larger = Winograd.space(shape, processor) if shape else ()
    if shape is None or not larger:
        return
    weights = numbers_of(node.inputs[1])
    if weights is None or not bears(weights):
        return
    direct = min(
        DirectConv.space(shape, processor), key=lambda each: each.cycles(shape, processor)
    )
    yield _offer(direct, shape, processor)
    seen = direct.cycles(shape, processor)
    for schedule in sorted(larger, key=lambda each: each.packed_bytes(shape, processor)):
        if schedule.cycles(shape, processor) < seen:
            seen = schedule.cycles(shape, processor)
            yield _offer(schedule, shape, processor)


def _offer(schedule: DirectConv | Winograd, shape: ConvShape, processor: Processor) -> Offer:
    return Offer(
        schedule=format_spec(schedule.name, schedule),
        cycles=schedule.cycles(shape, processor),
        nbytes=schedule.packed_bytes(shape, processor),
        packing=(schedule.name, getattr(schedule, "outputs", 1), schedule.columns),
    )
