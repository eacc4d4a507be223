import numpy as np
import pytest

from suture.compiler.cost.evaluate import Sample
from suture.compiler.cost.features import Facts


def facts(*, rows, wide, needed=1e6, rule="gemm", lanes=8):
    depth, columns = 64, wide * lanes
    runs = int(-(-(needed / depth / columns) // rows))
    return Facts(
        rule=rule,
        needed=needed,
        done=runs * rows * depth * columns,
        rows=rows,
        wide=wide,
        images=rows,
        lanes=lanes,
        registers=16,
        depth=depth,
        unrolled=4,
        taps=1,
        stride=1,
        crossing=False,
        tiles=runs,
        run=runs,
        image_bytes=4 * runs * rows * depth,
        weight_bytes=4 * depth * columns,
        output_bytes=4 * needed / depth,
        copied_bytes=0.0,
        tile_image_bytes=4 * rows * depth,
        tile_weight_bytes=4 * depth * columns,
    )


@pytest.fixture(scope="session")
def make_facts():
    return facts


@pytest.fixture(scope="session")
def samples():
    """Thirty kernels in ten tiles each; the clock follows a law, the rules' order does not."""
    rng = np.random.default_rng(5)
    found = []
    for kernel in range(30):
        needed = float(2 ** rng.uniform(18, 26))
        tiles = [(r, w) for r in (1, 2, 3, 4, 6) for w in (1, 2)]
        for rank, place in enumerate(rng.permutation(len(tiles))):
            rows, wide = tiles[place]
            sums = rows * wide
            cycles = needed / 16 * (8 / min(sums, 8)) * (1 + 0.4 * (rows + wide) / sums)
            noise = 1 + 0.01 * rng.standard_normal()
            found.append(
                Sample(
                    kernel=kernel,
                    facts=facts(rows=rows, wide=wide, needed=needed),
                    microseconds=cycles / 3e3 * noise,
                    rank=rank,
                )
            )
    return tuple(found)
