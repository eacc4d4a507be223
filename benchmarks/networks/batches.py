"""Networks of one image, given several at once."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from suture.compiler.model import infer_shapes


def batched(model: ir.Model, count: int) -> ir.Model:
    """Return a model whose inputs hold ``count`` images in place of one, changed in place.

    A Reshape to one image becomes one to as many.
    """
    for value in (*model.graph.inputs, *model.graph.outputs):
        assert value.shape is not None
        value.shape = ir.Shape([count, *list(value.shape)[1:]])
    for node in model.graph:
        target = node.inputs[1].const_value if node.op_type == "Reshape" else None
        if target is not None and target.numpy()[0] == 1:
            sizes = np.array([count, *target.numpy()[1:]], np.int64)
            name = f"{node.outputs[0].name}.sizes"
            constant = ir.Value(
                name=name,
                shape=ir.Shape(sizes.shape),
                type=ir.TensorType(ir.DataType.INT64),
                const_value=ir.tensor(sizes, name=name),
            )
            model.graph.register_initializer(constant)
            node.replace_input_with(1, constant)
    infer_shapes(model)
    return model
