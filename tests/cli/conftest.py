import json
from dataclasses import dataclass

import numpy as np
import onnx
import pytest

from suture.cli import main


@dataclass(frozen=True)
class Done:
    """What a command left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def suture(cache, tmp_path, monkeypatch, capsys):
    """Run the command line in an empty folder; wrong input must leave one screen."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SUTURE_CACHE", str(cache))

    def suture(*arguments, code=0):
        monkeypatch.setattr("sys.argv", ["suture", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        assert end.value.code == code, printed.err + printed.out
        if code == 2:
            assert printed.out == ""
        return Done(end.value.code, printed.out, printed.err)

    return suture


@pytest.fixture(scope="session")
def net(tmp_path_factory):
    """A file with a small network, ``float[1, 3] x`` to ``float[1, 2] y``."""
    weights = onnx.numpy_helper.from_array(np.ones((3, 2), np.float32), "w")
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("MatMul", ["x", "w"], ["m"], name="mix"),
            onnx.helper.make_node("Relu", ["m"], ["y"], name="clip"),
        ],
        "net",
        [onnx.helper.make_tensor_value_info("x", 1, [1, 3])],
        [onnx.helper.make_tensor_value_info("y", 1, [1, 2])],
        [weights],
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    path = tmp_path_factory.mktemp("net") / "net.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path
