"""What tests of 8-bit kernels share: numbers, and what ONNX makes of their sums."""

import numpy as np

from suture.codegen.schedule.dot import DOTS, Finish, Integers

U8, S8 = Integers(dtype="uint8", zero=113), Integers(dtype="int8", zero=-7)
TO_U8, TO_S8, TO_FLOAT = Finish(out=Integers(dtype="uint8", zero=3)), Finish(out=S8), Finish()


def drawn(rng, shape, low, high, dtype):
    """Random integers of which a third are the extremes."""
    numbers = rng.integers(low, high + 1, shape)
    extreme = rng.choice([low, high], shape)
    return np.where(rng.random(shape) < 1 / 3, extreme, numbers).astype(dtype)


def finished(sums, scale, bias, finish):
    """What ONNX makes of sums: scaled, shifted, clipped, rounded to even and saturated."""
    value = sums * scale.astype(np.float64) + bias
    low, high = (-np.inf if finish.low is None else finish.low), finish.high
    value = np.clip(value, low, np.inf if high is None else high)
    if finish.out is None:
        return value
    return np.clip(np.rint(value) + finish.out.zero, *finish.out.bounds)


def same(out, wanted, finish):
    """Compare; on the way to a quantum, float32 may round another way at a half."""
    if finish.out is None:
        np.testing.assert_allclose(out, wanted, rtol=1e-5, atol=1e-4)
        return
    assert out.dtype == finish.out.dtype
    apart = np.abs(out.astype(int) - wanted.astype(int))
    assert apart.max() <= 1
    assert (apart > 0).mean() <= 1e-3


def constants(rng, sums, finish, size):
    """A scale and a bias for each filter, in whole tiles, that spread sums over the range."""
    spread = 1.0 if finish.out is None else 90.0
    scale = (spread / (sums.std() + 1) * rng.uniform(0.5, 1.5, size)).astype(np.float32)
    return scale, rng.uniform(-20, 20, size).astype(np.float32)


def arguments(packed, scale, bias, filters):
    """A kernel's constants in order."""
    start = [] if packed.start is None else [packed.start]
    return [packed.weights, *start, *(np.pad(v, (0, filters - v.size)) for v in (scale, bias))]


def sample(space):
    """The first two of every way to add up, and some of the others."""
    first = [t for dot in DOTS for t in [t for t in space if t.dot == dot][:2]]
    return first + [tile for tile in space[3::9] if tile not in first]
