"""What is kept of a pass that failed: the model before it, and what it takes to try again."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx_ir as ir

from suture.compiler.model import save_model
from suture.compiler.verify import Arrays
from suture.errors import Location, PassError, SutureError

MODEL, INPUTS, ACCOUNT = "before.onnx", "inputs.npz", "failure.json"


@dataclass(frozen=True)
class FailureFolder:
    """A folder that holds the last failure, replaced as a whole.

    ``before.onnx`` is the model as the pass got it, ``inputs.npz`` the request it was
    verified with, ``failure.json`` says which pass of which pipeline failed, where and why.

    Attributes:
        path: The folder; made where something fails.
        inputs: A request, by input name.
    """

    path: Path
    inputs: Arrays = field(default_factory=dict)

    def keep(
        self, model: ir.Model, spec: str, pipeline: Sequence[str], error: SutureError
    ) -> SutureError:
        """Write a failure; return the error with a hint at what was kept.

        Raises:
            PassError: The folder cannot be written.
        """
        partial = self.path.with_name(f".{self.path.name}.{os.getpid()}.partial")
        account = {
            "pass": spec,
            "pipeline": list(pipeline),
            "node": error.at.node if error.at else None,
            "value": error.at.value if error.at else None,
            "error": error.message,
        }
        try:
            partial.mkdir(parents=True)
            save_model(model, partial / MODEL)
            if self.inputs:
                np.savez(partial / INPUTS, allow_pickle=False, **self.inputs)
            (partial / ACCOUNT).write_text(json.dumps(account, indent=1) + "\n", "utf-8")
            shutil.rmtree(self.path, ignore_errors=True)
            partial.replace(self.path)
        except OSError as failed:
            raise PassError(
                f"{error.message}; and the model before it cannot be kept: {failed.strerror}",
                at=error.at or Location(spec),
                hint=error.hint,
            ) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        again = f"suture compile {self.path / MODEL} --passes '{spec}' --bisect -o {self.path}"
        if self.inputs:
            again += f" --input {self.path / INPUTS}"
        hints = filter(
            None, (error.hint, f"the model before it is kept; repeat it with: {again}")
        )
        return type(error)(error.message, at=error.at, hint="; ".join(hints))
