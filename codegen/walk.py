"""Walk a lowered program and decide ahead of time where every tensor lives."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import tvm
from tvm import relax

from suture.codegen.aot import COPY, DTYPES, OWN, AotPlan, Call, Tensor
from suture.codegen.emit.choose import CHOICE
from suture.codegen.homes import find_homes
from suture.codegen.lazy import Result, Step, branch
from suture.codegen.lower import Lowered
from suture.codegen.memory import Buffers, aligned
from suture.codegen.schedule.join import JOIN
from suture.codegen.schedule.paste import PASTE
from suture.codegen.statements import byte_offset, cannot_hold, tensor_type
from suture.codegen.workspace import workspace_bytes

Value = int | tuple["Value", ...]
VIEWS = ("relax.reshape", "relax.memory.view", "relax.call_pure_packed", "relax.call_packed")


def plan_program(lowered: Lowered) -> AotPlan:
    """Walk ``main`` and place every tensor.

    Raises:
        LoweringError: A statement that cannot be decided ahead of time; names the binding.
    """
    main = lowered.module["main"]
    walk = _Walk(lowered)
    for block in main.body.blocks:
        for binding in block.bindings:
            walk.bind(binding.var, binding.value)
    results = walk.resolve(main.body.body)
    plan = walk.finish(results if isinstance(results, tuple) else (results,))
    return replace(plan, threads=lowered.threads)


class _Walk:
    """What is known at one statement of ``main``."""

    def __init__(self, lowered: Lowered) -> None:
        self.module, self.threads = lowered.module, lowered.threads
        self.tensors: list[Tensor] = []
        self.steps: list[Step] = []
        self.makers: dict[int, tuple[int, ...]] = {}
        self.choices: dict[int, int] = {}
        self.early: dict[int, int] = {}
        self.workspaces = dict.fromkeys(OWN, 0)
        self.weights = bytearray()
        self.buffers = Buffers()
        self.values: dict[Any, Value] = {}
        self.constants: dict[tuple[object, ...], int] = {}
        self.inputs: list[Tensor] = []
        parameters = {var.name: var for var in lowered.module["main"].params}
        for position, name in enumerate(lowered.inputs):
            shape, dtype = tensor_type(parameters[name])
            self.inputs.append(
                Tensor(space="input", buffer=position, shape=shape, dtype=dtype)
            )
            self.values[parameters[name]] = self.add(
                Tensor(space="input", buffer=position, shape=shape, dtype=dtype)
            )

    def add(self, tensor: Tensor) -> int:
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def bind(self, var: Any, value: Any) -> None:
        """Take in one statement."""
        if not isinstance(value, relax.Call):
            self.values[var] = self.resolve(value, var)
        elif isinstance(value.op, tvm.ir.GlobalVar):
            args = tuple(self.tensor(arg, var) for arg in value.args)
            self.values[var] = ()
            attributes = self.module[value.op].attrs or {}
            if JOIN in attributes:
                self.join(args[:-1], args[-1])
            elif PASTE in attributes:
                self.paste(args[:-1], args[-1])
            elif CHOICE in attributes:
                self.choose(int(attributes[CHOICE]), args)
            else:
                self.call(value.op.name_hint, args)
        else:
            self.bind_builtin(var, value)

    def bind_builtin(self, var: Any, call: Any) -> None:
        """Take in one call of Relax's own operators."""
        name = getattr(call.op, "name", None) or str(call.op)
        if name == "relax.builtin.alloc_tensor":
            shape, dtype = tensor_type(var)
            made = Tensor(space="arena", shape=shape, dtype=dtype)
            self.values[var] = self.add(replace(made, buffer=self.buffers.add(made.nbytes)))
        elif name in VIEWS:
            self.values[var] = self.view(var, call)
        else:
            raise cannot_hold(var, name)

    def view(self, var: Any, call: Any) -> int:
        """Return a tensor that sees an operand's bytes with another shape."""
        packed = getattr(call.args[0], "global_symbol", None)
        if packed not in (None, "vm.builtin.reshape"):
            raise cannot_hold(var, f"a call of {packed}")
        source = self.tensors[self.tensor(call.args[packed is not None], var)]
        shape, dtype = tensor_type(var)
        inside = byte_offset(call)
        result = replace(source, offset=source.offset + inside, shape=shape, dtype=dtype)
        if inside + result.nbytes > source.nbytes:
            raise cannot_hold(var, "a view of more than a tensor")
        return self.add(result)

    def call(self, kernel: str, args: tuple[int, ...]) -> None:
        """Add a call; what is seen in it for the first time is what it makes."""
        needs = tuple(need for position in args for need in self.needs(position))
        for position in args:
            tensor = self.tensors[position]
            if tensor.space == "arena":
                self.makers.setdefault(tensor.buffer, (len(self.steps),))
        self.steps.append(Step(needs=needs, call=Call(kernel, args)))

    def needs(self, position: int) -> tuple[int, ...]:
        """Return the steps that make a tensor; none for inputs, constants and new buffers."""
        tensor = self.tensors[position]
        return self.makers.get(tensor.buffer, ()) if tensor.space == "arena" else ()

    def choose(self, which: int, args: tuple[int, ...]) -> None:
        """Add a choice, or a further result to a choice that there is: of an If, once."""
        condition, *pair, target = args
        results = tuple((Result(each, self.needs(each)),) for each in pair)
        step = Step(
            needs=self.needs(condition),
            condition=condition,
            branches=(results[0], results[1]),
            targets=(target,),
        )
        if which in self.choices:
            known = self.steps[self.choices[which]]
            if self.choices[which] != len(self.steps) - 1:
                raise cannot_hold("main", "an If whose results are not made together")
            joined = tuple(
                (*mine, *more)
                for mine, more in zip(known.branches, step.branches, strict=True)
            )
            self.steps[-1] = replace(
                known, branches=(joined[0], joined[1]), targets=(*known.targets, target)
            )
        else:
            self.choices[which] = len(self.steps)
            self.steps.append(step)
        self.makers[self.tensors[target].buffer] = (self.choices[which],)

    def join(self, parts: tuple[int, ...], whole: int) -> None:
        """Let the makers of parts write into the whole, or copy where that cannot be."""
        target, offset = self.tensors[whole], 0
        makers: list[int] = []
        for position in parts:
            part = self.tensors[position]
            alone = part.space == "arena" and part.nbytes == self.buffers.nbytes(part.buffer)
            if not (alone and self.buffers.join(part.buffer, target.buffer, offset)):
                place = replace(target, offset=offset, shape=part.shape)
                makers.append(len(self.steps))
                copy = Call(COPY, (position, self.add(place)))
                self.steps.append(Step(needs=self.needs(position), call=copy))
            makers += self.needs(position)
            offset += part.nbytes
        self.makers[target.buffer] = tuple(makers)

    def paste(self, strips: tuple[int, ...], whole: int) -> None:
        """Copy strips to their places, block by block, each as soon as it is made."""
        target, first = self.tensors[whole], 0
        blocks, _, *row = target.shape
        makers: list[int] = []
        for position in strips:
            strip = self.tensors[position]
            piece = (1, strip.shape[1], *row)
            size = strip.nbytes // blocks
            for block in range(blocks):
                inside = block * (target.nbytes // blocks) + first * (size // strip.shape[1])
                source = replace(strip, offset=strip.offset + block * size, shape=piece)
                place = replace(target, offset=target.offset + inside, shape=piece)
                copy = Call(COPY, (self.add(source), self.add(place)))
                needs = self.needs(position)
                makers.append(len(self.steps))
                self.early[len(self.steps)] = max(needs, default=len(self.steps))
                self.steps.append(Step(needs=needs, call=copy))
            first += strip.shape[1]
        self.makers[target.buffer] = tuple(makers)

    def resolve(self, value: Any, var: Any = "main") -> Value:
        """Return the tensor, or tensors, that an expression stands for."""
        if isinstance(value, relax.Tuple):
            return tuple(self.resolve(item, var) for item in value.fields)
        if isinstance(value, relax.TupleGetItem):
            whole = self.resolve(value.tuple_value, var)
            assert isinstance(whole, tuple)
            return whole[int(value.index)]
        if isinstance(value, relax.Var):
            return self.values[value]
        numpy = getattr(getattr(value, "value", None), "numpy", None)
        if isinstance(value, tvm.ir.GenericConst) and numpy is not None:
            return self.constant(numpy(), var)
        raise cannot_hold(var, type(value).__name__)

    def tensor(self, value: Any, var: Any) -> int:
        found = self.resolve(value, var)
        if isinstance(found, tuple):
            raise cannot_hold(var, "a tuple as an argument")
        return found

    def constant(self, array: npt.NDArray[Any], var: Any) -> int:
        """Return the tensor of a constant; equal constants are stored once."""
        dtype = str(array.dtype)
        if dtype not in DTYPES:
            raise cannot_hold(var, f"element type {dtype}")
        data = np.ascontiguousarray(array).tobytes()
        key = (dtype, array.shape, hashlib.sha256(data).digest())
        if key not in self.constants:
            self.weights.extend(bytes(aligned(len(self.weights)) - len(self.weights)))
            place = len(self.weights)
            self.weights.extend(data)
            self.constants[key] = self.add(
                Tensor(space="weights", offset=place, shape=array.shape, dtype=dtype)
            )
        return self.constants[key]

    def finish(self, results: tuple[Value, ...]) -> AotPlan:
        """Give every buffer of activations a caller's buffer, or a place in the arena."""
        positions = [self.result(value) for value in results]
        homes: dict[int, int] = {}
        outputs, wanted = [], set()
        for number, position in enumerate(positions):
            seen = self.tensors[position]
            root, _ = self.buffers.root(seen.buffer)
            whole = seen.space == "arena" and seen.nbytes == self.buffers.nbytes(root)
            target = replace(seen, space="arena", offset=0)
            if whole and root not in homes:
                homes[root] = number
            else:
                # An input, a constant, a part, or what has gone to another output already.
                buffer = self.buffers.add(seen.nbytes)
                homes[buffer] = number
                self.call(COPY, (position, self.add(replace(target, buffer=buffer))))
                wanted.add(len(self.steps) - 1)
            wanted.update(self.needs(position))
            outputs.append(
                Tensor(space="output", buffer=number, shape=seen.shape, dtype=seen.dtype)
            )
        placed = find_homes(
            self.in_order(wanted), self.tensors, self.buffers, homes, self.workspace
        )
        return AotPlan(
            tensors=placed.tensors,
            calls=placed.calls,
            inputs=tuple(self.inputs),
            outputs=tuple(outputs),
            arena_bytes=placed.arena_bytes,
            weights=bytes(self.weights),
        )

    def workspace(self, kernel: str) -> int:
        """Return the bytes that a kernel asks for while it runs."""
        if kernel not in self.workspaces:
            self.workspaces[kernel] = workspace_bytes(self.module[kernel], self.threads)
        return self.workspaces[kernel]

    def in_order(self, wanted: set[int]) -> tuple[Call, ...]:
        """Return the calls as they came, or in branches where there are any.

        Copies that need not wait come right behind what they copy.
        """
        if self.choices:
            return branch(self.steps, wanted)
        order = sorted(range(len(self.steps)), key=lambda at: (self.early.get(at, at), at))
        return tuple(call for at in order if (call := self.steps[at].call) is not None)

    def result(self, value: Value) -> int:
        if isinstance(value, tuple):
            raise cannot_hold("main", "a sequence as an output")
        return value
