from dataclasses import replace

import numpy as np
import pytest

from suture.compiler.link import link
from suture.compiler.model import infer_shapes
from suture.compiler.plan import estimate as module
from suture.compiler.plan.base import INPUT
from suture.compiler.plan.estimate import (
    INTERPRETER_BYTES,
    Latency,
    estimate,
    measure_latency,
    weight_bytes,
    work,
)
from suture.compiler.plan.evaluate import PRIOR, Accuracy
from suture.compiler.target import lambda_x86_64

NETWORK = """g (float[1,4] x) => (float[1,3] y) <float[4,3] w, float[3] b> {
    m = MatMul(x, w) s = Add(m, b) y = Relu(s) }"""


@pytest.fixture
def model(parse):
    return parse(NETWORK)


@pytest.fixture(scope="module")
def linked(digits):
    names = ("digit-linear", "digit-monolith")
    plans = {name: digits.plans[name] for name in names}
    return {key: link(plan, digits.components, digits.entry) for key, plan in plans.items()}


def test_work_is_read_from_the_graph(model):
    infer_shapes(model)
    found = work(model)
    assert found.flops == 2 * 4 * 3 + 3 + 3
    assert found.nbytes == 4 * ((4 + 12 + 3) + (3 + 3 + 3) + (3 + 3))
    assert found.nodes == 3
    assert weight_bytes(model) == 4 * (12 + 3)


def test_models_take_turns(linked, monkeypatch):
    order = []
    real = module.open_session

    class Spy:
        def __init__(self, model, **options):
            self.key = next(key for key, value in linked.items() if value is model)
            self.session = real(model, **options)

        def run(self, *arguments):
            order.append(self.key)
            return self.session.run(*arguments)

    monkeypatch.setattr(module, "open_session", Spy)
    scan = np.zeros((32, 32), np.uint8)
    found = measure_latency(linked, {INPUT: scan}, rounds=3)
    assert order == [*linked] * (3 + 2)
    assert set(found) == set(linked)
    assert all(0 < each.median_ms <= each.p95_ms for each in found.values())


def test_a_thousand_times_the_work_takes_longer(linked):
    heavy, light = work(linked["digit-monolith"]), work(linked["digit-linear"])
    assert heavy.flops > 1000 * light.flops
    found = measure_latency(linked, {INPUT: np.zeros((32, 32), np.uint8)}, rounds=9)
    assert found["digit-monolith"].median_ms > found["digit-linear"].median_ms


@pytest.fixture
def made(digits, linked):
    def made(bucket=None, name="digit-linear", latency_ms=2.0):
        accuracy = Accuracy(0.8, {"noisy": (0.4, 3)}, {"dark": (0.1, 2)}, measured=False)
        latency = Latency(median_ms=latency_ms, p95_ms=3.0)
        plan = digits.plans[name]
        return estimate(plan, linked[name], latency, accuracy, lambda_x86_64(), bucket)

    return made


def test_an_estimate_of_one_plan(made, linked):
    found = made()
    assert (found.accuracy, found.measured) == (0.8, False)
    assert (found.latency_ms, found.latency_p95_ms) == (2.0, 3.0)
    assert found.by_condition == {"dark": (0.1, 2)}
    assert found.weight_bytes == weight_bytes(linked["digit-linear"]) >= 2570 * 4
    assert found.peak_bytes > INTERPRETER_BYTES + found.weight_bytes
    gb_seconds = 0.002 * 1769 / 1024
    assert found.usd_per_million == pytest.approx(0.2 + 16.6667 * gb_seconds, rel=1e-5)


def test_a_bucket_counts_instead_of_the_whole_set(made):
    assert made("noisy").accuracy == pytest.approx((0.4 * 3 + 0.8 * PRIOR) / (3 + PRIOR))
    assert made("unseen").accuracy == 0.8


def test_weights_are_loaded_at_a_cold_start(made):
    light, heavy = made(), made(name="digit-monolith")
    megabytes = (heavy.weight_bytes - light.weight_bytes) / 2**20
    assert megabytes > 0.5
    gap = heavy.cold_start_ms - light.cold_start_ms
    assert gap == pytest.approx(module.LOAD_MS_PER_MB * megabytes)
    assert heavy.peak_bytes - light.peak_bytes > 2**19


def test_memory_and_time_are_paid_for(made):
    target = replace(lambda_x86_64(), memory_mb=1024)
    assert target.usd_per_million(0) == pytest.approx(0.2)
    assert target.usd_per_million(1000) == pytest.approx(0.2 + 16.6667)
    assert made(latency_ms=4.0).usd_per_million > made(latency_ms=2.0).usd_per_million
