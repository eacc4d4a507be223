"""What a platform hands a function: HTTP, or an event that stands for it, or the request."""

import base64
import binascii
import json

from .protocol import ProtocolError

JSON = "application/json"
BINARY = "application/octet-stream"
DIRECT, EVENT, PLAIN = "direct", "event", "plain"
"""How a call came: the document itself, an event of Lambda's, HTTP."""


class Call:
    """One event in one form, whatever form it came in.

    Attributes:
        form: How it came, and its answer goes: DIRECT, EVENT or PLAIN.
        method: The HTTP method; POST for a direct invoke.
        path: The route.
        headers: By lower-case name.
        body: Bytes of the body; None for a direct invoke, whose document is the event.
        event: The event itself; None for PLAIN.
    """

    def __init__(self, event, *, form, method, path, headers, body):
        self.event = event
        self.form = form
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body


def form_of(event):
    """Return how an event of Lambda's wants its answer."""
    return EVENT if isinstance(event, dict) and "requestContext" in event else DIRECT


def read_event(event):
    """Return the call in a function URL's or API Gateway's event (payload 2.0), or direct."""
    context = event.get("requestContext") if isinstance(event, dict) else None
    if not isinstance(context, dict) or "http" not in context:
        return Call(event, form=DIRECT, method="POST", path="/", headers={}, body=None)
    body, headers = event.get("body") or "", event.get("headers") or {}
    for name, part, kind in (
        ("requestContext.http", context["http"], dict),
        ("headers", headers, dict),
        ("body", body, str),
    ):
        if not isinstance(part, kind):
            raise ProtocolError(f"{name} of the event is not of type {kind.__name__}")
    return Call(
        event,
        form=EVENT,
        method=context["http"].get("method", "POST"),
        path=event.get("rawPath") or "/",
        headers=_lowered(headers),
        body=_body(body, bool(event.get("isBase64Encoded"))),
    )


def read_http(method, path, headers, body):
    """Return the call in an HTTP request: its headers as a mapping, its body as bytes."""
    return Call(
        None, form=PLAIN, method=method, path=path, headers=_lowered(headers), body=body
    )


def _lowered(headers):
    return {str(key).lower(): str(value) for key, value in headers.items()}


def _body(text, encoded):
    if not encoded:
        return text.encode()
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ProtocolError(f"the body is not base64: {error}") from error


def answer(form, document, tail=b""):
    """Return what to hand back for a request that went well."""
    if form == DIRECT:
        return document
    text = json.dumps(document)
    if not tail:
        return _respond(form, 200, {"content-type": JSON}, text)
    head = text.encode()
    headers = {"content-type": BINARY, "inference-header-content-length": str(len(head))}
    return _respond(form, 200, headers, head + tail)


def refuse(form, message, status):
    """Return what to hand back for a request that did not."""
    if form == DIRECT:
        return {"error": message, "status": status}
    return _respond(form, status, {"content-type": JSON}, json.dumps({"error": message}))


def _respond(form, status, headers, body):
    """Return a response: Lambda's document, or status, headers and body of HTTP."""
    if form == PLAIN:
        return status, headers, body
    response = {"statusCode": status, "headers": headers, "body": body}
    if isinstance(body, bytes):
        response["body"] = base64.b64encode(body).decode()
        response["isBase64Encoded"] = True
    return response
