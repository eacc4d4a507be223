from dataclasses import replace

import numpy as np
import pytest

from suture.codegen.backend.ort import OrtBackend
from suture.codegen.measure import Timings
from suture.compiler.model import load_model
from suture.compiler.target import lambda_x86_64
from suture.compiler.verify import run_reference
from suture.driver.options import Case, Options
from suture.driver.trial import Trial, decide
from suture.errors import BackendError, VerifyError


def timings(tvm, ort):
    noise = np.linspace(0.99, 1.01, 9)
    return Timings({"tvm": tuple(tvm * noise), "ort": tuple(ort * noise)})


@pytest.mark.parametrize(
    ("tvm", "ort", "ships", "why"),
    [
        (1.0, 2.0, "tvm", "the faster one"),
        (2.0, 1.0, "ort", "the faster one"),
        (1.05, 1.0, "tvm", "as fast, and smaller"),
        (1.0, 1.05, "tvm", "as fast, and smaller"),
    ],
)
def test_the_faster_backend_ships(tvm, ort, ships, why):
    chosen, reason = decide([timings(tvm, ort)], {}, "auto", lambda_x86_64())
    assert chosen == ships
    assert why in reason


def test_a_backend_that_fails_is_named():
    only = Timings({"ort": (1.0, 1.0)})
    failed = {"tvm": BackendError("operator 'Det' is unknown")}
    chosen, reason = decide([only], failed, "auto", lambda_x86_64())
    assert chosen == "ort"
    assert "tvm does not hold the model: operator 'Det' is unknown" in reason


def test_the_users_word_counts():
    assert decide([timings(9.0, 1.0)], {}, "tvm", lambda_x86_64()) == ("tvm", "as asked for")


def test_what_cannot_be_timed_ships_unmeasured():
    foreign = replace(lambda_x86_64(), arch="z80")
    chosen, reason = decide([Timings({})], {}, "auto", foreign)
    assert chosen == "tvm"
    assert "unmeasured: this machine cannot time programs for z80" in reason


def test_over_several_sizes_the_mean_of_ratios_counts():
    cases = [timings(1.0, 2.0), timings(5.0, 1.0)]
    chosen, _ = decide(cases, {}, "auto", lambda_x86_64())
    assert chosen == "ort"
    chosen, _ = decide([timings(1.0, 4.0), *cases], {}, "auto", lambda_x86_64())
    assert chosen == "tvm"


class Wrong(OrtBackend):
    """A backend whose programs answer one too much."""

    name = "tvm"

    def load(self, compiled, model, *, threads):
        run = super().load(compiled, model, threads=threads)
        return lambda inputs: {name: value + 1 for name, value in run(inputs).items()}


@pytest.fixture
def trial(net, tmp_path, monkeypatch):
    model = load_model(net)
    inputs = {"x": np.ones((1, 3), np.float32)}
    case = Case(inputs=inputs, expected=run_reference(model, inputs))
    monkeypatch.setattr(
        "suture.driver.trial.backends", lambda *_, **__: (Wrong(), OrtBackend())
    )

    def trial(backend):
        options = Options(cache=tmp_path, backend=backend)
        return Trial(model, [case], lambda_x86_64(), tmp_path, options)

    return trial


def test_a_program_that_answers_wrong_does_not_ship(trial):
    tried = trial("auto")
    tried.compile(lambda _: None)
    assert set(tried.runs) == {"ort"}
    assert tried.failures["tvm"].message.startswith("its answers are wrong: ")


def test_a_backend_that_was_asked_for_must_answer_right(trial):
    with pytest.raises(VerifyError, match="instead of"):
        trial("tvm").compile(lambda _: None)
