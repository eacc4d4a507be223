import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest

from suture.compiler.cost.base import Work
from suture.compiler.cost.records import Records
from suture.compiler.cost.rows import Episode, LatencyRecord, machine, versions
from suture.compiler.plan.evaluate import Accuracy
from suture.errors import SutureError

LATENCY = LatencyRecord(
    subject="abc",
    backend="ort",
    target="lambda-x86_64",
    threads=1,
    work=Work(1e6, 2e5, 12),
    median_ms=1.5,
    p95_ms=2.25,
)
EPISODE = Episode(
    request_id="r1", plan="abc", bucket="plain", propensity=0.9, reward=0.5, labelled=False
)
ACCURACY = Accuracy(
    1 / 3, {"plain": (0.1, 10), "denoise+deskew": (2 / 3, 3)}, {"": (1 / 3, 13)}
)


@pytest.fixture
def records(tmp_path):
    return Records(tmp_path / "cache" / "records.sqlite")


def test_a_new_file_is_empty_and_in_wal_mode(records):
    assert records.episodes("digits") == []
    assert records.accuracy("abc", "set") is None
    assert records.latencies(backend="ort", threads=1) == []
    store = sqlite3.connect(records.path)
    (mode,) = store.execute("PRAGMA journal_mode").fetchone()
    store.close()
    assert mode == "wal"


def test_latencies_come_back_as_they_went_the_oldest_first(records):
    rows = [replace(LATENCY, subject=name, median_ms=ms) for name, ms in (("b", 2), ("a", 1))]
    records.add_latencies(rows[:1])
    records.add_latencies(rows[1:])
    assert records.latencies(backend="ort", threads=1) == rows


@pytest.mark.parametrize(
    "other", [{"backend": "tvm"}, {"threads": 2}, {"machine": "elsewhere x64"}]
)
def test_latencies_of_other_circumstances_are_left_out(records, other):
    records.add_latencies([LATENCY, replace(LATENCY, **other)])
    assert records.latencies(backend="ort", threads=1) == [LATENCY]


def test_latencies_are_stored_all_or_none(records):
    with pytest.raises(SutureError, match="NOT NULL"):
        records.add_latencies([LATENCY, replace(LATENCY, median_ms=None)])
    assert records.latencies(backend="ort", threads=1) == []


def test_machine_and_versions_are_noted():
    assert LATENCY.machine == machine() != ""
    assert LATENCY.versions == versions()
    assert {part.partition("=")[0] for part in versions().split()} == {
        "suture",
        "onnxruntime",
        "apache-tvm",
    }


@pytest.mark.parametrize("accuracy", [ACCURACY, Accuracy(0.25, {}, {}, measured=False)])
def test_accuracy_comes_back_exactly(records, accuracy):
    records.add_accuracy("abc", "set", accuracy)
    assert records.accuracy("abc", "set") == accuracy
    assert records.accuracy("abc", "other set") is None
    assert records.accuracy("other plan", "set") is None


def test_a_later_accuracy_takes_the_place_of_the_first(records):
    records.add_accuracy("abc", "set", ACCURACY)
    records.add_accuracy("abc", "set", replace(ACCURACY, overall=0.5))
    assert records.accuracy("abc", "set").overall == 0.5


def test_accuracy_measured_with_other_versions_does_not_count(records, monkeypatch):
    records.add_accuracy("abc", "set", ACCURACY)
    monkeypatch.setattr("suture.compiler.cost.records.versions", lambda: "onnxruntime=9")
    assert records.accuracy("abc", "set") is None


def test_episodes_come_back_in_the_order_of_arrival(records):
    rows = [replace(EPISODE, request_id=name, reward=-0.5) for name in "cab"]
    assert records.add_episodes("digits", rows) == 3
    assert records.episodes("digits") == rows


def test_a_request_counts_once(records):
    again = replace(EPISODE, reward=0.9, plan="other")
    assert records.add_episodes("digits", [EPISODE, again]) == 1
    assert records.add_episodes("digits", [again]) == 0
    assert records.episodes("digits") == [EPISODE]


def test_each_task_counts_for_itself(records):
    assert records.add_episodes("digits", [EPISODE]) == 1
    assert records.add_episodes("letters", [EPISODE]) == 1
    assert records.episodes("digits") == records.episodes("letters") == [EPISODE]


def test_a_label_that_comes_later_sets_the_reward(records):
    labelled = replace(EPISODE, reward=-0.2, labelled=True)
    records.add_episodes("digits", [EPISODE])
    assert records.add_episodes("digits", [labelled]) == 0
    assert records.episodes("digits") == [labelled]


def test_a_label_is_not_lost_to_a_line_without_one(records):
    labelled = replace(EPISODE, reward=-0.2, labelled=True)
    records.add_episodes("digits", [labelled])
    records.add_episodes("digits", [EPISODE, replace(labelled, reward=0.7)])
    assert records.episodes("digits") == [labelled]


WRITER = """
import sys, time
from dataclasses import replace
from pathlib import Path
from suture.compiler.cost.base import Work
from suture.compiler.cost.records import (Records)
from suture.compiler.cost.rows import (Episode, LatencyRecord)

path, me, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
latency = LatencyRecord(subject="", backend="ort", target="t", threads=1,
                        work=Work(1, 2, 3), median_ms=1, p95_ms=2)
episode = Episode(request_id="", plan="p", bucket="b", propensity=1, reward=0, labelled=False)
print("ready", flush=True)
sys.stdin.readline()
for number in range(count):
    ids = f"{me}-{number}", f"shared-{number}"
    Records(path).add_episodes("digits", [replace(episode, request_id=each) for each in ids])
    Records(path).add_latencies([replace(latency, subject=ids[0])])
"""


def test_processes_write_at_the_same_time(records):
    """Each writes episodes of its own, and some that the others write too."""
    count = 20
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, records.path, str(writer), str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for writer in range(3)
    ]
    assert [writer.stdout.readline() for writer in writers] == ["ready\n"] * 3
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    errors = [writer.communicate(timeout=60)[1] for writer in writers]
    assert errors == [""] * 3
    seen = [episode.request_id for episode in records.episodes("digits")]
    expected = {f"{w}-{n}" for w in ("0", "1", "2", "shared") for n in range(count)}
    assert (len(seen), set(seen)) == (4 * count, expected)
    subjects = {record.subject for record in records.latencies(backend="ort", threads=1)}
    assert subjects == {name for name in expected if not name.startswith("shared")}


def test_a_new_file_is_opened_by_many_at_once(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        for number in range(60):
            opened = [Records(tmp_path / f"{number}.sqlite") for _ in range(8)]
            barrier = Barrier(len(opened))

            def read(records, barrier=barrier):
                barrier.wait()
                return records.episodes("digits")

            assert list(pool.map(read, opened)) == [[]] * 8


def test_a_reader_sees_what_was_there_while_another_writes(records):
    records.add_episodes("digits", [EPISODE])
    store = sqlite3.connect(records.path)
    store.execute("BEGIN IMMEDIATE")
    store.execute("DELETE FROM episode")
    assert records.episodes("digits") == [EPISODE]
    store.rollback()
    store.close()


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    records = Records(tmp_path / "file" / "records.sqlite")
    with pytest.raises(SutureError, match="the records cannot be used") as caught:
        records.episodes("digits")
    assert caught.value.at.component == str(records.path)
    assert "--cache" in caught.value.hint


def test_a_path_that_is_a_folder(tmp_path):
    with pytest.raises(SutureError, match="unable to open database file"):
        Records(tmp_path).add_latencies([LATENCY])


def test_a_file_that_is_no_database(records):
    records.path.parent.mkdir()
    records.path.write_bytes(b"some other file, long enough to be looked at" * 100)
    with pytest.raises(SutureError, match="not a database") as caught:
        records.add_accuracy("abc", "set", ACCURACY)
    assert "move the file away" in caught.value.hint
