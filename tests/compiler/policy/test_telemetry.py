import json

import pytest

from suture.compiler.policy.telemetry import episodes, read_logs
from suture.compiler.target import lambda_x86_64
from suture.compiler.task import Objective
from suture.errors import RequestError

ANSWER = {
    "request_id": "r1",
    "status": 200,
    "plan_digest": "abc",
    "bucket": "denoise",
    "total_us": 2500,
    "propensity": 0.9,
}
OBJECTIVE = Objective(latency_weight=0.01, cost_weight=0.1)
MISSING = object()


@pytest.fixture
def log(tmp_path):
    """Write a log: dictionaries as JSON, texts as they are."""
    count = iter(range(100))

    def log(*lines):
        path = tmp_path / f"{next(count)}.jsonl"
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        path.write_text("\n".join(texts) + "\n", "utf-8")
        return path

    return log


def changed(**changes):
    made = {**ANSWER, **changes}
    return {key: value for key, value in made.items() if value is not MISSING}


def known(plan, bucket):
    return {("abc", "denoise"): 0.75, ("abc", "unknown"): 0.5}.get((plan, bucket))


def learnt(path, expected=known):
    return episodes(read_logs([path]), OBJECTIVE, lambda_x86_64(), expected)


def test_the_reward_weighs_accuracy_time_and_price(log):
    (episode,) = learnt(log(ANSWER))
    usd = lambda_x86_64().usd_per_million(2.5)
    assert episode.reward == pytest.approx(0.75 - 0.01 * 2.5 - 0.1 * usd)
    assert (episode.request_id, episode.plan, episode.bucket) == ("r1", "abc", "denoise")
    assert (episode.propensity, episode.labelled) == (0.9, False)


@pytest.mark.parametrize(("correct", "accuracy"), [(True, 1.0), (False, 0.0)])
def test_feedback_joins_its_request_from_any_file_in_any_order(log, correct, accuracy):
    paths = [log({"request_id": "r1", "correct": correct}), log(ANSWER)]
    for each in (paths, paths[::-1]):
        (episode,) = episodes(read_logs(each), OBJECTIVE, lambda_x86_64(), known)
        assert episode.labelled
        unlabelled = learnt(paths[1])[0].reward
        assert episode.reward == pytest.approx(unlabelled - 0.75 + accuracy)


def test_a_request_counts_once_as_first_seen(log):
    read = read_logs([log(ANSWER, changed(total_us=9)), log(changed(plan_digest="other"))])
    assert read.answers == {"r1": ANSWER}
    assert len(episodes(read, OBJECTIVE, lambda_x86_64(), known)) == 1


def test_a_second_opinion_replaces_the_first(log):
    path = log(
        {"request_id": "r1", "correct": True}, {"request_id": "r1", "correct": False}, ANSWER
    )
    assert read_logs([path]).feedback == {"r1": False}


def test_lines_of_the_platform_are_skipped_and_counted(log):
    path = log(
        "START RequestId: 5e1f Version: $LATEST",
        ANSWER,
        '{"half a line": ',
        "[1, 2]",
        "null",
        "42",
        "\x00\x01\ufffd",
        {"type": "platform.report", "record": {"requestId": "r1"}},
        {"request_id": 7, "status": 200, "plan_digest": "abc"},
        "",
        "   ",
    )
    read = read_logs([path])
    assert list(read.answers) == ["r1"]
    assert read.skipped == 8


def test_bytes_that_are_no_text_are_skipped(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"\xff\xfe\x00 torn\n" + json.dumps(ANSWER).encode() + b"\n\xc3")
    read = read_logs([path])
    assert (list(read.answers), read.skipped) == (["r1"], 2)


@pytest.mark.parametrize(
    "line",
    [
        changed(status=422),
        changed(status=MISSING),
        changed(plan_digest=MISSING),
        changed(plan_digest=None),
        changed(total_us=MISSING),
        changed(total_us="slow"),
        changed(total_us=-1),
        changed(total_us=float("nan")),
        changed(total_us=float("inf")),
        changed(total_us=10**400),
        changed(total_us=True),
        changed(plan_digest="never planned"),
    ],
)
def test_what_was_not_answered_or_is_not_known_teaches_nothing(log, line):
    assert learnt(log(line)) == []


def test_feedback_makes_up_for_an_accuracy_that_is_not_known(log):
    path = log(changed(plan_digest="never planned"), {"request_id": "r1", "correct": True})
    (episode,) = learnt(path)
    assert (episode.plan, episode.labelled) == ("never planned", True)


@pytest.mark.parametrize("bucket", [MISSING, None, ""])
def test_a_request_without_bucket_is_of_the_unknown(log, bucket):
    (episode,) = learnt(log(changed(bucket=bucket)))
    assert episode.bucket == "unknown"


@pytest.mark.parametrize("value", [MISSING, None, "0.5", 1, 1.0])
def test_without_a_policy_the_plan_was_certain(log, value):
    (episode,) = learnt(log(changed(propensity=value)))
    assert episode.propensity == 1.0


def test_a_propensity_beyond_floats(log):
    (episode,) = learnt(log(changed(propensity=10**400)))
    assert episode.propensity == 1.0


@pytest.mark.parametrize("line", ["[" * 100_000, '{"a":' * 100_000])
def test_deep_nesting_is_skipped(log, line):
    read = read_logs([log(line, ANSWER)])
    assert (list(read.answers), read.skipped) == (["r1"], 1)


def test_a_missing_log(tmp_path, log):
    with pytest.raises(RequestError, match="cannot be read: No such file") as caught:
        read_logs([log(ANSWER), tmp_path / "gone.jsonl"])
    assert caught.value.at.component.endswith("gone.jsonl")


def test_no_log_holds_nothing():
    read = read_logs([])
    assert (read.answers, read.feedback, read.skipped) == ({}, {}, 0)
