import json
import socket
import threading
import time

import pytest

JSON = "application/json"


def post(path, body=b"", *headers):
    """Return a request's bytes."""
    head = [f"POST {path} HTTP/1.1", "Host: h", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*head, "", ""]).encode() + body


def echoed(message):
    """Return what an answer's document tells and the bytes behind it."""
    first, headers, body = message
    assert first == "HTTP/1.1 200 OK"
    size = int(headers.get("inference-header-content-length", len(body)))
    return json.loads(body[:size]), body[size:]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_request_is_answered_and_told_of(server, connect, host):
    if host == "::1":
        try:
            socket.create_server((host, 0), family=socket.AF_INET6).close()
        except OSError as error:
            pytest.skip(f"no IPv6 here: {error}")
    peer = connect(server.port, host)
    peer.send(
        post("/echo", b"abc", "content-TYPE:\tx/y ", "Inference-Header-Content-Length: 7")
    )
    first, headers, body = peer.message()
    document, tail = echoed((first, headers, body))
    assert document == {"status": 200, "size": 3, "type": "x/y", "header_length": "7"}
    assert tail == b"abc"
    assert headers["content-type"] == "application/octet-stream"
    assert "connection" not in headers
    server.terminate()
    assert server.wait() == 0
    assert [line["cold"] for line in server.telemetry] == [True]


def test_requests_share_a_connection(server, connect):
    peer = connect(server.port)
    for i in range(100):
        body = bytes([i]) * i * 1000
        peer.send(post("/echo?x=1", body))
        assert echoed(peer.message())[1] == body


def test_requests_sent_ahead_are_answered_in_order(server, connect):
    peer = connect(server.port)
    bodies = [b"%d" % i * (i * 997 % 4000) for i in range(60)]
    peer.send(b"".join(post("/echo", body) for body in bodies))
    assert [echoed(peer.message())[1] for _ in bodies] == bodies


def test_a_request_may_come_byte_by_byte(server, connect):
    peer = connect(server.port)
    for byte in post("/echo", b"abc"):
        peer.send(bytes([byte]))
    assert echoed(peer.message())[1] == b"abc"


def test_a_body_may_come_in_chunks(server, connect):
    peer = connect(server.port)
    peer.send(b"POST /echo HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n")
    sent = b""
    for size in (1, 15, 70_000, 3, 2_000_000):
        chunk = bytes([size % 251]) * size
        peer.send(b"%X;name=value\r\n" % size + chunk + b"\r\n")
        sent += chunk
    peer.send(b"0\r\nTrailer: x\r\n\r\n" + post("/echo", b"next"))
    assert echoed(peer.message())[1] == sent
    assert echoed(peer.message())[1] == b"next"


def test_tiny_chunks_are_one_body(server, connect):
    peer = connect(server.port)
    head = b"POST /echo HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"
    peer.send(head + b"1\r\nx\r\n" * 20_000 + b"0\r\n\r\n")
    assert echoed(peer.message())[1] == b"x" * 20_000


def test_who_asks_first_is_told_to_go_on(server, connect):
    peer = connect(server.port)
    peer.send(b"POST /echo HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
    assert peer.head() == ("HTTP/1.1 100 Continue", {})
    peer.send(b"abc")
    assert echoed(peer.message())[1] == b"abc"


def test_other_pages(server, connect):
    peer = connect(server.port)
    peer.send(b"GET /ready HTTP/1.1\r\n\r\n")
    assert echoed(peer.message())[0] == {"ready": True}
    peer.send(post("http://host/ready"))
    assert echoed(peer.message())[0] == {"ready": True}
    peer.send(post("/nowhere"))
    assert peer.message()[0] == "HTTP/1.1 404 Not Found"
    peer.send(b"GET /echo HTTP/1.1\r\n\r\n")
    first, headers, _ = peer.message()
    assert (first, headers["allow"]) == ("HTTP/1.1 405 Method Not Allowed", "POST")
    peer.send(b"HEAD /ready HTTP/1.1\r\n\r\nGET /ready HTTP/1.1\r\n\r\n")
    assert peer.head()[1]["content-length"] == "15"
    assert echoed(peer.message())[0] == {"ready": True}


@pytest.mark.parametrize(
    ("request_line", "stays"),
    [
        (b"GET /ready HTTP/1.1\r\nConnection: keep-alive, close\r\n\r\n", False),
        (b"GET /ready HTTP/1.1\r\nConnection: closed\r\n\r\n", True),
        (b"GET /ready HTTP/1.0\r\n\r\n", False),
        (b"GET /ready HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", True),
    ],
)
def test_a_connection_stays_open_as_asked(server, connect, request_line, stays):
    peer = connect(server.port)
    peer.send(request_line)
    assert peer.message()[0] == "HTTP/1.1 200 OK"
    if stays:
        peer.send(request_line)
        assert peer.message()[0] == "HTTP/1.1 200 OK"
    else:
        assert peer.closed()


BAD = {
    "no request": (b"hello\r\n\r\n", 400),
    "nothing but a line": (b"\r\n\r\n", 400),
    "line feeds alone": (b"GET /ready HTTP/1.1\n\n", 400),
    "a carriage return within": (b"GET /re\rady HTTP/1.1\r\n\r\n", 400),
    "a zero byte": (b"GET /ready HTTP/1.1\r\nA: \0\r\n\r\n", 400),
    "two spaces": (b"GET  /ready HTTP/1.1\r\n\r\n", 400),
    "no path": (b"GET ready HTTP/1.1\r\n\r\n", 400),
    "a word too many": (b"GET /ready x HTTP/1.1\r\n\r\n", 400),
    "a method of brackets": (b"(GET) /ready HTTP/1.1\r\n\r\n", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\n", 505),
    "no version": (b"GET /ready\r\n\r\n", 400),
    "no colon": (b"GET /ready HTTP/1.1\r\nA\r\n\r\n", 400),
    "no name": (b"GET /ready HTTP/1.1\r\n: a\r\n\r\n", 400),
    "a space behind the name": (b"GET /ready HTTP/1.1\r\nA : a\r\n\r\n", 400),
    "a folded header": (b"GET /ready HTTP/1.1\r\nA: a\r\n b: c\r\n\r\n", 400),
    "no length": (b"POST /echo HTTP/1.1\r\nContent-Length:\r\n\r\n", 400),
    "a length below zero": (b"POST /echo HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
    "a length with a sign": (b"POST /echo HTTP/1.1\r\nContent-Length: +1\r\n\r\n", 400),
    "two lengths": (
        b"POST /echo HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        400,
    ),
    "a length and chunks": (
        b"POST /echo HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
    ),
    "another coding": (b"POST /echo HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
    "one byte too many": (b"POST /echo HTTP/1.1\r\nContent-Length: 67108865\r\n\r\n", 413),
    "an endless length": (
        b"POST /echo HTTP/1.1\r\nContent-Length: " + b"9" * 99 + b"\r\n\r\n",
        413,
    ),
    "a long path": (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", 431),
    "a path without end": (b"GET /" + b"a" * 100_000, 431),
    "a long header": (b"GET / HTTP/1.1\r\nA: " + b"a" * 9000 + b"\r\n\r\n", 431),
    "many headers": (b"GET / HTTP/1.1\r\n" + b"A: a\r\n" * 101 + b"\r\n", 431),
    "large headers": (
        b"GET / HTTP/1.1\r\n" + (b"A: " + b"a" * 4000 + b"\r\n") * 9 + b"\r\n",
        431,
    ),
}
CHUNKED = b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
BAD_CHUNKS = {
    "no size": (b"\r\n", 400),
    "no number": (b"x\r\n", 400),
    "a size with a prefix": (b"0x1\r\na\r\n", 400),
    "a size below zero": (b"-1\r\n", 400),
    "longer than its size": (b"1\r\nab\r\n", 400),
    "a size too large": (b"4000001\r\n", 413),
    "a size that wraps": (b"10000000000000001\r\na\r\n", 413),
    "sizes too large together": (b"1\r\na\r\n4000000\r\n", 413),
    "a size without end": (b"1;" + b"a" * 9000, 431),
    "many trailers": (b"0\r\n" + b"A: a\r\n" * 101, 431),
}


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        *(pytest.param(sent, status, id=name) for name, (sent, status) in BAD.items()),
        *(
            pytest.param(CHUNKED + sent, status, id=f"chunks: {name}")
            for name, (sent, status) in BAD_CHUNKS.items()
        ),
    ],
)
def test_what_is_no_request_is_refused(server, connect, sent, status):
    peer = connect(server.port)
    peer.send(sent)
    first, headers, body = peer.message()
    assert first.split(" ", 2)[1] == str(status)
    assert headers["content-type"] == JSON
    assert headers["connection"] == "close"
    assert json.loads(body).keys() == {"error"}
    assert peer.closed()
    other = connect(server.port)
    other.send(post("/echo", b"abc"))
    assert echoed(other.message())[1] == b"abc"


def test_a_refusal_is_read_by_who_goes_on_sending(server, connect):
    peer = connect(server.port)
    peer.send(b"POST /echo HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 5_000_000)
    assert peer.message()[0] == "HTTP/1.1 413 Content Too Large"


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"POST",
        b"POST /echo HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc",
        CHUNKED + b"5\r\nab",
    ],
)
def test_who_stops_within_a_request_gets_no_answer(server, connect, sent):
    peer = connect(server.port)
    peer.send(sent)
    peer.socket.shutdown(socket.SHUT_WR)
    assert peer.closed()
    assert server.process.poll() is None
    other = connect(server.port)
    other.send(post("/echo", b"abc"))
    assert echoed(other.message())[1] == b"abc"


def test_who_waits_holds_up_nobody(server, connect):
    silent, slow, deaf = (connect(server.port) for _ in range(3))
    slow.send(post("/echo", b"x" * 100)[:-1])
    large = b"y" * 30_000_000
    sender = threading.Thread(target=deaf.send, args=(post("/echo", large),))
    sender.start()
    sender.join()
    others = [connect(server.port) for _ in range(100)]
    for round_ in range(5):
        for other in others:
            other.send(post("/echo", b"%d" % round_))
        for other in others:
            assert echoed(other.message())[1] == b"%d" % round_
    slow.send(b"x")
    assert echoed(slow.message())[1] == b"x" * 100
    assert echoed(deaf.message())[1] == large
    silent.send(post("/echo", b"z"))
    assert echoed(silent.message())[1] == b"z"


def test_who_would_hold_too_much_memory_is_refused(server, connect):
    head = b"POST /echo HTTP/1.1\r\nContent-Length: 67108864\r\n\r\n"
    peers = [connect(server.port) for _ in range(5)]
    for peer in peers[:4]:
        peer.send(head + bytes(60_000_000))
    peers[4].send(head + bytes(40_000_000))
    assert peers[4].message()[0] == "HTTP/1.1 503 Service Unavailable"
    for peer in peers[1:]:
        peer.close()
    peers[0].send(bytes(7_108_864))
    assert len(echoed(peers[0].message())[1]) == 67_108_864


def test_more_connections_than_places(server, connect):
    peers = [connect(server.port) for _ in range(1050)]
    peers[-1].send(post("/echo", b"last"))
    assert echoed(peers[-1].message())[1] == b"last"


def test_memory_stays_flat(server, connect, bootstrap):
    peer = connect(server.port)
    request = post("/echo", bytes(2**20))
    readings = []
    for i in range(600):
        peer.send(request)
        assert len(echoed(peer.message())[1]) == 2**20
        if i % 100 == 99:
            readings.append(server.rss_bytes)
    assert max(readings[1:]) <= readings[0] + 2**20


def test_memory_of_a_large_request_is_given_back(server, connect, request):
    if "sanitized" in request.node.callspec.params.values():
        pytest.skip("the address sanitizer keeps freed memory for a while")
    peer = connect(server.port)

    def ask(size, times):
        for _ in range(times):
            peer.send(post("/echo", bytes(size)))
            assert len(echoed(peer.message())[1]) == size
        return server.rss_bytes

    before = ask(2**18, 10)
    assert ask(2**25, 2) >= before + 2**25
    assert ask(2**18, 50) <= before + 2**21


@pytest.mark.parametrize("idle", [True, False])
def test_a_signal_ends_it_between_requests(server, connect, idle):
    peer = connect(server.port)
    if idle:
        peer.send(post("/echo", b"abc"))
        peer.message()
        server.terminate()
    else:
        peer.send(post("/slow", b"abc"))
        time.sleep(0.1)
        server.terminate()
        message = peer.message()
        assert echoed(message)[1] == b"abc"
        assert message[1]["connection"] == "close"
    assert peer.closed()
    peer.close()
    assert server.wait() == 0


def test_a_request_that_is_coming_in_is_answered_before_the_end(server, connect):
    peer = connect(server.port)
    sent = post("/echo", b"abc")
    peer.send(sent[:20])
    time.sleep(0.1)
    server.terminate()
    time.sleep(0.1)
    peer.send(sent[20:])
    assert echoed(peer.message())[1] == b"abc"
    assert peer.closed()
    peer.close()
    assert server.wait() == 0


def test_a_port_in_use(server, start):
    second = start("--port", str(server.port))
    assert second.wait() == 1
    assert second.errors.startswith(f"suture: port {server.port} cannot be served: ")
    assert second.errors.count("\n") == 1


def test_the_environment_names_a_port(start, connect):
    server = start(PORT="0")
    peer = connect(server.port)
    peer.send(post("/echo", b"abc"))
    assert echoed(peer.message())[1] == b"abc"
