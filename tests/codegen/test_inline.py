import pytest

from suture.codegen.choose.base import BY_FORMULA
from suture.codegen.importer import prepare_and_import
from suture.codegen.inline import inline
from suture.codegen.lower import fuse, write_buffers
from suture.codegen.phases import Phases
from suture.codegen.processor import tvm_target
from suture.codegen.schedule.base import processor_of


@pytest.fixture
def loops(parse, target):
    """How many loop nests each kernel of a model has, once inlined."""

    def loops(text):
        described = tvm_target(target)
        imported = prepare_and_import(
            parse(text),
            processor_of(target),
            size_speed="balanced",
            chooser=BY_FORMULA,
            phases=Phases(),
        )
        module = inline(write_buffers(fuse(imported.module, described), described))
        return [
            str(function).count("with T.sblock(") - str(function).count('T.sblock("root")')
            for name, function in module.functions.items()
            if name.name_hint != "main"
        ]

    return loops


def test_a_chain_is_one_loop(loops):
    text = "g (float[4,9] x, float[4,9] z) => (float[4,9] y)"
    assert loops(text + " { a = Add(x, z) b = Relu(a) y = Mul(b, z) }") == [1]


def test_what_is_summed_keeps_its_loop(loops):
    text = "g (float[4,9] x) => (float[1,9] y) { a = Exp(x) y = ReduceMean<axes=[0]>(a) }"
    assert sum(loops(text)) == 3
