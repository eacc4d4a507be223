import json
import re
import shutil
import signal
import socket
import subprocess
import sysconfig
import time
import urllib.request
from pathlib import Path

import pytest

BASE = "/2018-06-01/runtime"
ID = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"


@pytest.fixture
def function(api, start):
    """The program under a Runtime API, ready."""
    program = start(AWS_LAMBDA_RUNTIME_API=api.address)
    assert api.messages.get(timeout=60).kind == "next"
    return program


def ask(api, event, request_id=ID):
    """Return what an event is answered with."""
    api.send(request_id, event)
    message = api.messages.get(timeout=60)
    assert api.messages.get(timeout=60).kind == "next"
    return message


def hand_out(peer, event, *headers, request_id=ID):
    """Answer a request for the next event, which must be what comes next."""
    first, _, _ = peer.message()
    assert first == f"GET {BASE}/invocation/next HTTP/1.1"
    head = [
        "HTTP/1.1 200 OK",
        f"Lambda-Runtime-Aws-Request-Id: {request_id}",
        f"Lambda-Runtime-Deadline-Ms: {int(time.time() * 1000) + 60_000}",
        *(headers or [f"Content-Length: {len(event)}"]),
    ]
    peer.send("\r\n".join([*head, "", ""]).encode() + event)


def take(peer, kind="response"):
    """Return what is posted, which must come next, and take it."""
    first, headers, body = peer.message()
    assert first == f"POST {BASE}/invocation/{ID}/{kind} HTTP/1.1"
    peer.send(b"HTTP/1.1 202 Accepted\r\nContent-Length: 15\r\n\r\n" + b'{"status":"OK"}')
    return headers, body


def test_events_are_answered_and_told_of(api, function):
    event = (
        b'{"profile": {"x": [1,\n"}"]}, "bucket":"b, {\\"c", "propensity" : 0.5 ,'
        b'"features":{"a":1}}'
    )
    for i in range(3):
        message = ask(api, event, f"id-{i}")
        assert (message.kind, message.body) == ("response", event)
    function.terminate()
    assert function.wait() == 0
    assert function.errors == ""
    lines = function.telemetry
    assert [line["request_id"] for line in lines] == ["id-0", "id-1", "id-2"]
    assert [line["cold"] for line in lines] == [True, False, False]
    assert [lines[0][name] for name in ("bucket", "propensity", "features")] == [
        'b, {"c',
        0.5,
        {"a": 1},
    ]


def test_events_of_every_size(api, function):
    for size in (2, 1000, 20_000, 6_000_000, 3):
        event = b"x" * size
        assert ask(api, event).body == event


def test_memory_stays_flat(api, function):
    readings = []
    event = b"y" * 2**20
    for i in range(400):
        assert ask(api, event).body == event
        if i % 100 == 99:
            readings.append(function.rss_bytes)
    assert max(readings[1:]) <= readings[0] + 2**20


@pytest.mark.parametrize(
    "form", ["{}", "http://{}", "http://{}/", "http://{}/a/.rt", "http://{}/a/.rt/"]
)
def test_forms_of_the_address(listener, start, form):
    start(AWS_LAMBDA_RUNTIME_API=form.format(f"127.0.0.1:{listener.port}"))
    prefix = "/a/.rt" if ".rt" in form else ""
    first, headers, _ = listener.accept().message()
    assert first == f"GET {prefix}{BASE}/invocation/next HTTP/1.1"
    assert headers["host"] == f"127.0.0.1:{listener.port}"


def test_an_address_of_ipv6(start):
    try:
        server = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    with server:
        start(AWS_LAMBDA_RUNTIME_API=f"[::1]:{server.getsockname()[1]}")
        server.settimeout(60)
        connection, _ = server.accept()
        with connection:
            assert connection.recv(4) == b"GET "


@pytest.mark.parametrize(
    "address", ["https://127.0.0.1:1", "http://", "127.0.0.1:1x", "a b", "x" * 300, "[::1"]
)
def test_what_is_no_address(start, address):
    program = start(AWS_LAMBDA_RUNTIME_API=address)
    assert program.wait() == 1
    assert program.errors.startswith("suture: ")
    assert program.errors.count("\n") == 1


def test_an_api_that_is_not_there(start):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    program = start(AWS_LAMBDA_RUNTIME_API=f"127.0.0.1:{port}")
    assert program.wait() == 1
    assert program.errors == (
        f"suture: the Runtime API at 127.0.0.1:{port} cannot be reached: Connection refused\n"
    )


def test_an_api_that_only_hangs_up(listener, start):
    program = start(AWS_LAMBDA_RUNTIME_API=f"127.0.0.1:{listener.port}")
    for _ in range(3):
        listener.accept().close()
    assert program.wait() == 1
    assert re.fullmatch(
        r"suture: the Runtime API at \S+ does not answer: [^\n]+\n", program.errors
    )


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 500 Error\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: ../x\r\n"
        b"Content-Length: 2\r\n\r\n{}",
        b"no HTTP at all\r\n\r\n",
    ],
)
def test_an_api_that_hands_out_no_event(listener, start, answer):
    program = start(AWS_LAMBDA_RUNTIME_API=f"127.0.0.1:{listener.port}")
    peer = listener.accept()
    peer.message()
    peer.send(answer)
    assert program.wait() == 1
    assert "hands out no event" in program.errors
    assert program.errors.count("\n") == 1


def test_one_connection_serves_all(listener, start):
    start(AWS_LAMBDA_RUNTIME_API=f"127.0.0.1:{listener.port}")
    peer = listener.accept()
    for i in range(20):
        hand_out(peer, b"event %d" % i)
        headers, body = take(peer)
        assert body == b"event %d" % i
        assert headers["content-type"] == "application/json"


def test_an_event_in_chunks(listener, start):
    start(AWS_LAMBDA_RUNTIME_API=f"127.0.0.1:{listener.port}")
    peer = listener.accept()
    hand_out(peer, b"", "Transfer-Encoding: chunked")
    for i in range(50):
        peer.send(b"3\r\n%03d\r\n" % i)
        time.sleep(0.001)
    peer.send(b"0\r\n\r\n")
    assert take(peer)[1] == b"".join(b"%03d" % i for i in range(50))


def test_an_event_that_ends_with_its_connection(listener, start):
    start(AWS_LAMBDA_RUNTIME_API=f"127.0.0.1:{listener.port}")
    peer = listener.accept()
    hand_out(peer, b"abc", "Connection: close")
    peer.socket.shutdown(socket.SHUT_WR)
    assert take(listener.accept())[1] == b"abc"


def test_an_interim_answer_is_passed_over(listener, start):
    start(AWS_LAMBDA_RUNTIME_API=f"127.0.0.1:{listener.port}")
    peer = listener.accept()
    peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    hand_out(peer, b"abc")
    assert take(peer)[1] == b"abc"


def test_an_api_that_closes_between_requests(listener, start):
    start(AWS_LAMBDA_RUNTIME_API=f"127.0.0.1:{listener.port}")
    for _ in range(3):
        peer = listener.accept()
        hand_out(peer, b"abc")
        peer.socket.shutdown(socket.SHUT_RDWR)
        peer = listener.accept()
        assert take(peer)[1] == b"abc"
        peer.close()


@pytest.mark.parametrize("sent", [b"HTT", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"])
def test_an_event_cut_short_is_asked_for_again(listener, start, sent):
    start(AWS_LAMBDA_RUNTIME_API=f"127.0.0.1:{listener.port}")
    peer = listener.accept()
    peer.message()
    peer.send(sent)
    peer.close()
    peer = listener.accept()
    hand_out(peer, b"abc")
    assert take(peer)[1] == b"abc"


def test_an_event_that_is_too_large_is_refused(listener, start):
    start(AWS_LAMBDA_RUNTIME_API=f"127.0.0.1:{listener.port}")
    hand_out(listener.accept(), b"", "Content-Length: 67108865")
    peer = listener.accept()
    headers, body = take(peer, "error")
    assert headers["lambda-runtime-function-error-type"] == "Runtime.EventRefused"
    assert json.loads(body) == {
        "errorType": "Runtime.EventRefused",
        "errorMessage": "the event is too large, or no HTTP",
        "stackTrace": [],
    }
    hand_out(peer, b"abc")
    assert take(peer)[1] == b"abc"


def test_an_answer_that_lambda_finds_too_large(listener, start):
    start(AWS_LAMBDA_RUNTIME_API=f"127.0.0.1:{listener.port}")
    peer = listener.accept()
    hand_out(peer, b"large 7000000")
    assert peer.message()[2] == b"x" * 7_000_000
    peer.send(b"HTTP/1.1 413 Payload Too Large\r\nContent-Length: 0\r\n\r\n")
    assert json.loads(take(peer, "error")[1])["errorType"] == "Function.ResponseSizeTooLarge"
    hand_out(peer, b"abc")
    assert take(peer)[1] == b"abc"


def test_an_answer_that_is_not_taken(listener, start):
    program = start(AWS_LAMBDA_RUNTIME_API=f"127.0.0.1:{listener.port}")
    peer = listener.accept()
    hand_out(peer, b"abc")
    peer.message()
    peer.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
    hand_out(peer, b"abc")
    assert program.errors.count("takes no answer") == 1
    peer.message()
    peer.send(b"HTTP/1.1 500 Error\r\nContent-Length: 0\r\n\r\n")
    assert program.wait() == 1


def test_an_answer_that_finds_no_memory(api, function, bootstrap, request):
    if "memory" in request.node.callspec.params.values():
        pytest.skip("the address sanitizer ends a program that asks for that much")
    message = ask(api, b"large 999999999999999999")
    assert message.kind == "error"
    assert json.loads(message.body)["errorType"] == "Runtime.OutOfMemory"
    assert ask(api, b"abc").body == b"abc"


def test_a_model_that_cannot_start(listener, start):
    program = start(
        AWS_LAMBDA_RUNTIME_API=f"127.0.0.1:{listener.port}", ECHO_CANNOT_START="yes"
    )
    peer = listener.accept()
    first, headers, body = peer.message()
    assert first == f"POST {BASE}/init/error HTTP/1.1"
    assert headers["lambda-runtime-function-error-type"] == "Runtime.InitError"
    assert json.loads(body)["errorMessage"] == 'the processor lacks "something"'
    peer.send(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
    assert program.wait() == 1
    assert (
        program.errors == 'suture: the model cannot start: the processor lacks "something"\n'
    )


def test_a_signal_ends_it_at_once_when_idle(function):
    began = time.monotonic()
    function.terminate()
    assert function.wait() == 0
    assert time.monotonic() - began < 5


def test_a_signal_waits_for_the_request_in_hand(api, function):
    api.send(ID, b"slow")
    time.sleep(0.1)
    function.terminate()
    message = api.messages.get(timeout=60)
    assert (message.kind, message.body) == ("response", b"slow")
    assert function.wait() == 0
    assert api.messages.empty()
    assert len(function.telemetry) == 1


def test_cargo_lambda_serves_it(start, tmp_path):
    """Against another implementation of the Runtime API."""
    emulator = Path(sysconfig.get_path("scripts"), "cargo-lambda")
    if not emulator.exists():
        pytest.skip("cargo-lambda is not installed")
    if shutil.which("cargo") is None:
        pytest.skip("there is no cargo, which cargo-lambda asks about its project")
    project = tmp_path / "project"
    (project / "src").mkdir(parents=True)
    (project / "Cargo.toml").write_text('[package]\nname = "f"\nversion = "0.1.0"\n', "utf-8")
    (project / "src" / "main.rs").write_text("fn main() {}\n", "utf-8")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [str(emulator), "lambda", "watch", "--only-lambda-apis"]
    with subprocess.Popen(
        [*command, "-A", "127.0.0.1", "-P", str(port)],
        cwd=project,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            for _ in range(600):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert process.poll() is None, "cargo-lambda does not start"
                time.sleep(0.1)
            program = start(AWS_LAMBDA_RUNTIME_API=f"http://127.0.0.1:{port}/.rt")
            url = f"http://127.0.0.1:{port}/2015-03-31/functions/_/invocations"
            for size in (10, 100_000, 3_000_000):
                event = json.dumps("e" * size).encode()
                with urllib.request.urlopen(url, data=event, timeout=60) as answer:
                    assert answer.read() == event
            assert program.process.poll() is None, program.errors
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=30)
