"""What Lambda hands a function: HTTP events, or the request itself."""

import base64
import binascii
import json

from .protocol import ProtocolError

JSON = "application/json"
BINARY = "application/octet-stream"


class Call:
    """One event in one form, whatever form it came in.

    Attributes:
        http: Whether the answer is an HTTP response.
        method: The HTTP method; POST for a direct invoke.
        path: The route.
        headers: By lower-case name.
        body: Bytes of the body; None for a direct invoke, whose document is the event.
        event: The event itself.
    """

    def __init__(self, event, *, http, method, path, headers, body):
        self.event = event
        self.http = http
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body


def read_event(event):
    """Return the call in a function URL's or API Gateway's event (payload 2.0), or direct."""
    context = event.get("requestContext") if isinstance(event, dict) else None
    if not isinstance(context, dict) or "http" not in context:
        return Call(event, http=False, method="POST", path="/", headers={}, body=None)
    body, headers = event.get("body") or "", event.get("headers") or {}
    for name, part, kind in (
        ("requestContext.http", context["http"], dict),
        ("headers", headers, dict),
        ("body", body, str),
    ):
        if not isinstance(part, kind):
            raise ProtocolError(f"{name} of the event is not of type {kind.__name__}")
    headers = {str(key).lower(): str(value) for key, value in headers.items()}
    return Call(
        event,
        http=True,
        method=context["http"].get("method", "POST"),
        path=event.get("rawPath") or "/",
        headers=headers,
        body=_body(body, bool(event.get("isBase64Encoded"))),
    )


def _body(text, encoded):
    if not encoded:
        return text.encode()
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ProtocolError(f"the body is not base64: {error}") from error


def answer(call, document, tail=b""):
    """Return what to hand back for a request that went well."""
    if not call.http:
        return document
    text = json.dumps(document)
    if not tail:
        return {"statusCode": 200, "headers": {"content-type": JSON}, "body": text}
    head = text.encode()
    return {
        "statusCode": 200,
        "headers": {"content-type": BINARY, "inference-header-content-length": str(len(head))},
        "body": base64.b64encode(head + tail).decode(),
        "isBase64Encoded": True,
    }


def refuse(call_is_http, message, status):
    """Return what to hand back for a request that did not."""
    if not call_is_http:
        return {"error": message, "status": status}
    body = json.dumps({"error": message})
    return {"statusCode": status, "headers": {"content-type": JSON}, "body": body}
