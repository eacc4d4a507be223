"""Evaluate some nodes at given numbers, to find out what they do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator

Array = npt.NDArray[Any]


def evaluate(
    nodes: Sequence[ir.Node], given: Mapping[ir.Value, Array], wanted: ir.Value
) -> Array | None:
    """Return a value as onnx's reference computes it, or None where it cannot.

    Args:
        nodes: In an order in which they can run; constants are known from their inputs.
        given: What they read besides constants; element types may differ from the model's.
        wanted: An output of one of them.
    """
    graph = nodes[0].graph
    assert isinstance(graph, ir.Graph)
    constants = {
        each.name: each.const_value
        for node in nodes
        for each in node.inputs
        if each is not None and each.const_value is not None and each not in given
    }
    info = onnx.helper.make_tensor_value_info
    proto = onnx.helper.make_graph(
        [ir.to_proto(node) for node in nodes],
        "nodes",
        [
            info(
                str(value.name), onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
            )
            for value, array in given.items()
        ],
        [info(str(wanted.name), onnx.TensorProto.UNDEFINED, None)],
        [onnx.numpy_helper.from_array(c.numpy(), name) for name, c in constants.items()],
    )
    opsets = [onnx.helper.make_opsetid(d, v) for d, v in graph.opset_imports.items()]
    evaluator = ReferenceEvaluator(onnx.helper.make_model(proto, opset_imports=opsets))
    try:
        with np.errstate(all="ignore"):
            (answer,) = evaluator.run(None, {str(v.name): a for v, a in given.items()})
    except (RuntimeError, NotImplementedError, TypeError, ValueError):
        return None
    return np.asarray(answer)
