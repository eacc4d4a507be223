import pytest

from suture.codegen.emit.rule import Rules
from suture.codegen.groups import group
from suture.codegen.prepare import prepare


@pytest.fixture
def grouped(parse, with_weights):
    """Group a model in text; the inputs named after it become constants."""

    def grouped(text, *weights):
        model = prepare(with_weights(parse(text), weights))
        return group(model, Rules.installed().matchers), model

    return grouped
