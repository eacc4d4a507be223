import sys
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import ClassVar

import pytest

from suture.compiler.discovery import discover
from suture.errors import Location, PassError, PluginError
from suture.passes import pipeline
from suture.passes.base import GraphPass, PassResult
from suture.passes.fuse.constants import FoldConstants
from suture.passes.pipeline import GROUP, PIPELINES, format_pipeline, parse_pipeline
from suture.passes.prune.dead_nodes import PruneDeadNodes
from suture.passes.prune.identities import RemoveIdentities


@dataclass(frozen=True)
class Tune(GraphPass):
    """A pass with an option of every type that text can give."""

    name: ClassVar[str] = "tune"
    most_nodes: int = 8
    by: float = 0.5
    hard: bool = False
    tag: str = "all"

    def apply(self, model, ctx):
        return PassResult(model)


@pytest.fixture
def register(monkeypatch):
    """Install entry points besides those that are there."""

    def register(**values):
        points = {
            name.replace("_", "-"): EntryPoint(name.replace("_", "-"), value, GROUP)
            for name, value in values.items()
        }
        installed = discover(GROUP)
        monkeypatch.setattr(pipeline, "discover", lambda group: {**installed, **points})

    return register


@pytest.fixture
def tune(register, monkeypatch):
    module = ModuleType("tuning")
    module.Tune = Tune
    monkeypatch.setitem(sys.modules, "tuning", module)
    register(tune="tuning:Tune")


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("", ()),
        ("none", ()),
        ("prune-dead-nodes", (PruneDeadNodes(),)),
        (" prune-dead-nodes , remove-identities ", (PruneDeadNodes(), RemoveIdentities())),
        ("prune-dead-nodes,", (PruneDeadNodes(),)),
        ("prune-dead-nodes,prune-dead-nodes", (PruneDeadNodes(),) * 2),
        ("fold-constants", (FoldConstants(limit=262144),)),
        ("fold-constants{limit=4}", (FoldConstants(limit=4),)),
        (
            "fold-constants{ limit = 4 },prune-dead-nodes",
            (FoldConstants(limit=4), PruneDeadNodes()),
        ),
    ],
)
def test_parses(text, passes):
    assert parse_pipeline(text) == passes


def test_commas_in_braces_separate_options_not_passes(tune):
    tuned = "tune{most-nodes=3,by=0.25,hard=true,tag=a.b}"
    assert parse_pipeline(f"remove-identities,{tuned},fold-constants{{limit=2}}") == (
        RemoveIdentities(),
        Tune(most_nodes=3, by=0.25, hard=True, tag="a.b"),
        FoldConstants(limit=2),
    )


@pytest.mark.parametrize(
    "passes",
    [
        (),
        (PruneDeadNodes(), FoldConstants(limit=7)),
        (Tune(), RemoveIdentities(), Tune(most_nodes=-1, by=1e-30, hard=True, tag="x_y-z")),
    ],
)
def test_what_is_printed_parses_back(tune, passes):
    assert parse_pipeline(format_pipeline(passes)) == passes


@pytest.mark.parametrize("name", sorted(PIPELINES))
def test_every_named_pipeline_survives_the_round_trip(name):
    passes = parse_pipeline(name)
    assert parse_pipeline(format_pipeline(passes)) == passes


def test_a_named_pipeline_stands_in_a_list():
    exact = parse_pipeline("exact")
    assert parse_pipeline("exact, prune-dead-nodes") == (*exact, PruneDeadNodes())
    assert parse_pipeline("prune-dead-nodes,none,exact") == (PruneDeadNodes(), *exact)


def test_a_printed_pipeline_is_plain_text():
    passes = (FoldConstants(limit=7), PruneDeadNodes())
    assert format_pipeline(passes) == "fold-constants{limit=7},prune-dead-nodes"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "fold-constant",
            "no pass 'fold-constant' is installed; did you mean 'fold-constants'?",
        ),
        ("prune-dead-nodes,exakt", "no pass 'exakt' is installed; did you mean 'exact'?"),
        ("zzz", "no pass 'zzz' is installed; it knows "),
        ("fold-constants{limt=3}", "has no option 'limt'; did you mean 'limit'?"),
        ("prune-dead-nodes{limit=3}", "'prune-dead-nodes' has no option 'limit'"),
        ("fold-constants{limit=few}", "fold-constants.limit is of type int, not 'few'"),
        ("fold-constants{limit}", "option 'limit' of 'fold-constants' has no value"),
        ("fold-constants{limit=4", "is not of the form name{key=value}"),
        ("fold-constants}", "is not of the form name{key=value}"),
        ("fold constants", "'fold constants' is not of the form name{key=value}"),
        ("tune{hard=yes}", "tune.hard is true or false, not 'yes'"),
        ("tune{most-node=1}", "did you mean 'most_nodes'?"),
    ],
)
def test_what_cannot_be_read_is_told(tune, text, message):
    with pytest.raises(PassError) as caught:
        parse_pipeline(text)
    assert message in caught.value.message
    assert caught.value.at == Location("--passes", text.rpartition("nodes,")[2])


def test_an_unknown_pass_hints_at_the_list():
    with pytest.raises(PassError) as caught:
        parse_pipeline("fold")
    assert caught.value.hint == "suture passes lists what is installed"


def test_an_entry_point_that_is_no_pass_is_told(register):
    register(model="onnx_ir:Model")
    with pytest.raises(PassError) as caught:
        parse_pipeline("model")
    assert "onnx_ir:Model is neither a GraphPass nor a pass of onnx_ir" in str(caught.value)


def test_an_entry_point_that_does_not_load_is_told(register):
    register(gone="onnx_ir:Nowhere")
    with pytest.raises(PluginError) as caught:
        parse_pipeline("gone")
    assert "plug-in 'gone' (onnx_ir:Nowhere) of suture.passes does" in caught.value.message
    assert caught.value.hint == "reinstall or uninstall the distribution that provides it"


def test_a_pass_that_is_not_asked_for_is_not_imported(register):
    register(gone="onnx_ir:Nowhere")
    assert parse_pipeline("prune-dead-nodes") == (PruneDeadNodes(),)


def test_a_pattern_selects_what_is_installed_in_the_order_that_is_declared():
    assert parse_pipeline("*-dead-*") == (PruneDeadNodes(),)
    assert [type(each).name for each in parse_pipeline("fold-*")] == [
        "fold-constants",
        "fold-affine",
        "fold-normalization",
        "fold-batch-norm",
        "fold-channel-order",
        "fold-pads",
    ]


def test_a_pattern_hands_its_options_to_all_that_it_matches():
    assert parse_pipeline("*-constants{limit=4}") == (FoldConstants(limit=4),)
    with pytest.raises(PassError, match="'fold-affine' has no option 'limit'"):
        parse_pipeline("fold-*{limit=4}")


def test_a_pattern_that_matches_nothing_is_told_unless_it_may():
    with pytest.raises(PassError, match=r"no pass 'turn-\*' is installed"):
        parse_pipeline("turn-*")
    assert parse_pipeline("turn-*?,turn-left{by=3}?,prune-dead-nodes?") == (PruneDeadNodes(),)


def test_a_pass_that_calls_itself_something_else_is_told(register):
    register(prune_all="suture.passes.prune.dead_nodes:PruneDeadNodes")
    with pytest.raises(PassError, match="calls itself 'prune-dead-nodes'"):
        parse_pipeline("prune-all")
