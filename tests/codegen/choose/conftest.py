"""Schedules that are slow, wrong or broken on purpose, of a rule that adds two vectors."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
from tvm import s_tir, te, tirx

from suture.codegen.choose.base import Question
from suture.codegen.processor import tvm_target
from suture.codegen.schedule.base import WIDTHS, Epilogue, finished
from suture.compiler.target import lambda_x86_64

SIZE = 4096


@dataclass(frozen=True)
class Sum:
    """Adds two vectors, ``times`` times over; ``fault`` says what is wrong with it."""

    name: ClassVar[str] = "sum"
    times: int = 1
    fault: str = ""

    def kernel(self, shape, epilogue, processor):
        if self.fault == "raises":
            raise ValueError("no such tile")
        a, b = (te.placeholder((shape,), name=name) for name in "ab")
        k = te.reduce_axis((0, self.times), "k")
        added = te.compute((shape,), lambda i: te.sum(a[i] + b[i], axis=k), name="added")
        part = tirx.const((1.5 if self.fault == "wrong" else 1.0) / self.times, "float32")
        c = te.compute((shape,), lambda i: added[i] * part, name="c")
        return finished(s_tir.Schedule(te.create_prim_func([a, b, c])))


@dataclass(frozen=True)
class OtherSum(Sum):
    name: ClassVar[str] = "other-sum"


@pytest.fixture(scope="session")
def sums():
    return Sum, OtherSum


@pytest.fixture(scope="session")
def ask():
    def ask(*schedules):
        return Question(
            schedules=schedules,
            shape=SIZE,
            epilogue=Epilogue(),
            processor=WIDTHS["x86-64-v3"],
        )

    return ask


@pytest.fixture(scope="session")
def tvm_x86():
    return tvm_target(lambda_x86_64())
