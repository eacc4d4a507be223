import json
import subprocess

import pytest

from suture.codegen.runtime.python import telemetry

MODEL = {
    "name": "echo",
    "version": "1",
    "backend": "tvm",
    "plan": {"name": 'a "plan"', "digest": "abc"},
}


def once(bootstrap, event, **environment):
    """Return the status, the answer and what is told of the request."""
    done = subprocess.run(
        [str(bootstrap), "--once"],
        input=event,
        env=environment,
        capture_output=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr.decode()


@pytest.mark.parametrize("event", [b"", b"abc", b"x" * 3_000_000])
def test_an_event_is_answered(bootstrap, event):
    status, answer, told = once(bootstrap, event)
    assert (status, answer) == (0, event + b"\n")
    assert told.count("\n") == 1


def test_a_refused_event_shows_in_the_status(bootstrap):
    status, answer, told = once(bootstrap, b"refused")
    assert (status, answer) == (1, b"refused\n")
    assert json.loads(told)["status"] == 400


def test_an_event_that_is_too_large(bootstrap):
    status, answer, told = once(bootstrap, bytes(70 * 2**20))
    assert (status, answer) == (1, b"")
    assert told == "suture: the event cannot be read: it is too large\n"


def test_a_model_that_cannot_start(bootstrap):
    status, answer, told = once(bootstrap, b"abc", ECHO_CANNOT_START="yes")
    assert (status, answer) == (1, b"")
    assert told == 'suture: the model cannot start: the processor lacks "something"\n'


@pytest.mark.parametrize("arguments", [[], ["--port"], ["--once", "x"], ["--help"]])
def test_the_usage(bootstrap, arguments):
    done = subprocess.run(
        [str(bootstrap), *arguments], env={}, capture_output=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"usage: ")


@pytest.mark.parametrize(
    "profile",
    [
        {},
        {"bucket": "a, b", "features": {"x": [1.5, {"bucket": 7}]}, "propensity": 0.25},
        {"features": '}"]', "bucket": None, "other": [[], {}]},
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_a_request_is_told_of_as_python_does(bootstrap, profile, indent):
    _, _, told = once(bootstrap, json.dumps(profile, indent=indent).encode())
    line = json.loads(told)
    assert told.count("\n") == 1
    stages = {"decode": 1.5, "run": 2000, "encode": 0.499}
    parameters = {"profile": profile, "correct": [1, 2]}
    wanted = json.loads(
        telemetry.line(MODEL, None, stages, cold=True, status=200, parameters=parameters)
    )
    for told_of in (line, wanted):
        assert told_of.pop("peak_rss_bytes") > 2**20
        assert told_of["_aws"].pop("Timestamp") > 1.7e12
    assert line == wanted


def test_a_request_without_a_profile(bootstrap):
    _, _, told = once(bootstrap, b"abc")
    line = json.loads(told)
    assert "correct" not in line
    assert (line["bucket"], line["features"], line["propensity"]) == (None, None, None)


def test_a_profile_that_is_too_large_is_left_out(bootstrap):
    _, _, told = once(bootstrap, json.dumps({"bucket": "b" * 100_000}).encode())
    assert json.loads(told)["bucket"] is None


def test_a_stage_that_was_not_reached_has_no_time(bootstrap):
    _, _, told = once(bootstrap, b"refused")
    line = json.loads(told)
    assert {name for name in line if name.endswith("_us")} == {"decode_us", "total_us"}
