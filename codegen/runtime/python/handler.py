"""Answer invocations of one compiled model."""

import base64
import binascii
import importlib
import json
import os
import time

from . import events, protocol, telemetry

ENGINES = {"tvm": "aot", "ort": "ort"}


class Function:
    """A loaded package."""

    def __init__(self, folder, emit=print):
        with open(os.path.join(folder, "model.json"), encoding="utf-8") as stream:
            self.model = json.load(stream)
        engine = importlib.import_module(f".{ENGINES[self.model['backend']]}", __package__)
        self.engine = engine.Engine(folder, self.model)
        self.emit = emit
        self.cold = True

    def __call__(self, event, context):
        """Answer one event of Lambda's, and emit one line about it."""
        request_id = getattr(context, "aws_request_id", None)
        return self._answer(events.form_of(event), events.read_event, (event,), request_id)

    def http(self, method, path, headers, body, request_id=None):
        """Answer an HTTP request with status, headers and body, and emit one line about it."""
        request = (method, path, headers, body)
        return self._answer(events.PLAIN, events.read_http, request, request_id)

    def _answer(self, form, read, arguments, request_id):
        """Read a call, run the model, and return what to hand back in the call's form."""
        stages, parameters, status = {}, {}, 200
        started = time.perf_counter()
        try:
            call = read(*arguments)
            if (status_page := self._page(call)) is not None:
                return status_page
            request = self._request(call)
            parameters = request.parameters
            decoded = time.perf_counter()
            stages["decode"] = (decoded - started) * 1e6
            tensors = self.engine.run(request.tensors)
            ran = time.perf_counter()
            stages["run"] = (ran - decoded) * 1e6
            raw = call.body is not None and bool(request.binary)
            document, tail = protocol.response(request, self.model, tensors, raw=raw)
            result = events.answer(call.form, document, tail)
            stages["encode"] = (time.perf_counter() - ran) * 1e6
        except protocol.ProtocolError as error:
            status = error.status
            result = events.refuse(form, str(error), status)
        except (RuntimeError, ImportError) as error:
            status = 500
            result = events.refuse(form, str(error), status)
        self._tell(request_id, stages, parameters, status)
        return result

    def _page(self, call):
        """Return the answer to a question about the model rather than to it, or None."""
        name = f"/v2/models/{self.model['name']}"
        infer = (f"{name}/infer", f"{name}/versions/{self.model['version']}/infer", "/")
        if call.path in infer:
            if call.method == "POST":
                return None
            raise protocol.ProtocolError(f"{call.path} takes POST", 405)
        if call.path in ("/v2/health/live", "/v2/health/ready", f"{name}/ready"):
            return events.answer(call.form, {"ready": True})
        if call.path == "/v2":
            return events.answer(
                call.form, {"name": "suture", "extensions": ["binary_tensor_data"]}
            )
        if call.path == name:
            keys = ("name", "inputs", "outputs")
            page = {key: self.model[key] for key in keys}
            return events.answer(
                call.form, {**page, "versions": [self.model["version"]], "platform": "suture"}
            )
        raise protocol.ProtocolError(f"no route {call.path}", 404)

    def _request(self, call):
        if call.body is not None:
            if call.headers.get("content-type", "").startswith("image/"):
                return self._image(call.body)
            length = call.headers.get("inference-header-content-length")
            document, rest = protocol.parse_body(call.body, length)
        else:
            document, rest = call.event, b""
        if isinstance(document, dict) and "image" in document and "inputs" not in document:
            try:
                data = base64.b64decode(document["image"], validate=True)
            except (binascii.Error, ValueError, TypeError) as error:
                raise protocol.ProtocolError(f"the image is not base64: {error}") from error
            return self._image(data, document.get("parameters"))
        model = self.model
        return protocol.parse_request(document, rest, model["inputs"], model["outputs"])

    def _image(self, data, parameters=None):
        entry = self.model["image"]
        if entry is None:
            raise protocol.ProtocolError("this model takes tensors, not images", 415)
        image = importlib.import_module(".image", __package__)
        spec = next(s for s in self.model["inputs"] if s["name"] == entry["input"])
        tensor = image.decode(data, entry["mode"], spec)
        names = [spec["name"] for spec in self.model["outputs"]]
        if not isinstance(parameters, dict):
            parameters = {}
        return protocol.Request({spec["name"]: tensor}, parameters=parameters, outputs=names)

    def _tell(self, request_id, stages, parameters, status):
        self.emit(
            telemetry.line(
                self.model,
                request_id,
                stages,
                cold=self.cold,
                status=status,
                parameters=parameters,
            )
        )
        self.cold = False
