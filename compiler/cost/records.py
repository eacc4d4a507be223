"""Every measurement as one row: SQLite in WAL mode, so that processes may share the file."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from suture.compiler.cost.base import Work
from suture.compiler.cost.features import Facts
from suture.compiler.cost.rows import Episode, KernelRecord, LatencyRecord, machine, versions
from suture.compiler.plan.evaluate import Accuracy
from suture.errors import Location, SutureError

TIMEOUT_S = 30.0
POLL_S = 0.02

SCHEMA = """
CREATE TABLE IF NOT EXISTS latency (
    id INTEGER PRIMARY KEY, at REAL NOT NULL, subject TEXT NOT NULL, backend TEXT NOT NULL,
    target TEXT NOT NULL, threads INTEGER NOT NULL, machine TEXT NOT NULL,
    versions TEXT NOT NULL, flops REAL NOT NULL, nbytes REAL NOT NULL, nodes REAL NOT NULL,
    median_ms REAL NOT NULL, p95_ms REAL NOT NULL);
CREATE TABLE IF NOT EXISTS kernel (
    id INTEGER PRIMARY KEY, at REAL NOT NULL, kernel TEXT NOT NULL, schedule TEXT NOT NULL,
    rank INTEGER NOT NULL, mcpu TEXT NOT NULL, threads INTEGER NOT NULL,
    machine TEXT NOT NULL, versions TEXT NOT NULL, facts TEXT NOT NULL,
    microseconds REAL NOT NULL);
CREATE TABLE IF NOT EXISTS accuracy (
    plan TEXT NOT NULL, evaluation TEXT NOT NULL, versions TEXT NOT NULL, at REAL NOT NULL,
    value TEXT NOT NULL, PRIMARY KEY (plan, evaluation, versions));
CREATE TABLE IF NOT EXISTS episode (
    task TEXT NOT NULL, request_id TEXT NOT NULL, plan TEXT NOT NULL, bucket TEXT NOT NULL,
    propensity REAL NOT NULL, reward REAL NOT NULL, labelled INTEGER NOT NULL,
    at REAL NOT NULL, PRIMARY KEY (task, request_id));
"""


@dataclass(frozen=True)
class Records:
    """The file of measurements; opened for each use, so that nothing is held in between.

    Attributes:
        path: The SQLite file, made with its folder by the first use.
    """

    path: Path

    def add_latencies(self, records: Iterable[LatencyRecord]) -> None:
        """Store measurements, all or none."""
        now = time.time()
        rows = [
            (
                now,
                r.subject,
                r.backend,
                r.target,
                r.threads,
                r.machine,
                r.versions,
                r.work.flops,
                r.work.nbytes,
                r.work.nodes,
                r.median_ms,
                r.p95_ms,
            )
            for r in records
        ]
        with self._open() as store:
            store.executemany(f"INSERT INTO latency VALUES (NULL{', ?' * 12})", rows)

    def latencies(self, *, backend: str, threads: int) -> list[LatencyRecord]:
        """Return what this machine has measured with a backend, the oldest first."""
        with self._open() as store:
            rows = store.execute(
                "SELECT subject, backend, target, threads, flops, nbytes, nodes, median_ms,"
                " p95_ms, machine, versions FROM latency"
                " WHERE backend = ? AND threads = ? AND machine = ? ORDER BY id",
                (backend, threads, machine()),
            ).fetchall()
        return [
            LatencyRecord(
                subject=subject,
                backend=name,
                target=target,
                threads=count,
                work=Work(*work),
                median_ms=median_ms,
                p95_ms=p95_ms,
                machine=where,
                versions=what,
            )
            for subject, name, target, count, *work, median_ms, p95_ms, where, what in rows
        ]

    def add_kernels(self, records: Iterable[KernelRecord]) -> int:
        """Store measurements of kernels, all or none; return how many."""
        now = time.time()
        rows = [
            (
                now,
                r.kernel,
                r.schedule,
                r.rank,
                r.mcpu,
                r.threads,
                r.machine,
                r.versions,
                json.dumps(asdict(r.facts)),
                r.microseconds,
            )
            for r in records
        ]
        with self._open() as store:
            store.executemany(f"INSERT INTO kernel VALUES (NULL{', ?' * 10})", rows)
        return len(rows)

    def kernels(self) -> list[KernelRecord]:
        """Return what this machine has measured of kernels, the oldest first.

        Rows whose facts are not those of today's rules are left out.
        """
        with self._open() as store:
            rows = store.execute(
                "SELECT kernel, schedule, rank, mcpu, threads, machine, versions, facts,"
                " microseconds FROM kernel WHERE machine = ? ORDER BY id",
                (machine(),),
            ).fetchall()
        known = {each.name for each in fields(Facts)}
        return [
            KernelRecord(
                kernel=kernel,
                schedule=schedule,
                rank=rank,
                mcpu=mcpu,
                threads=threads,
                machine=where,
                versions=what,
                facts=Facts(**facts),
                microseconds=microseconds,
            )
            for kernel, schedule, rank, mcpu, threads, where, what, text, microseconds in rows
            if (facts := json.loads(text)).keys() == known
        ]

    def accuracy(self, plan: str, evaluation: str) -> Accuracy | None:
        """Return what was measured of a plan on an evaluation set, by their digests."""
        with self._open() as store:
            row = store.execute(
                "SELECT value FROM accuracy"
                " WHERE plan = ? AND evaluation = ? AND versions = ?",
                (plan, evaluation, versions()),
            ).fetchone()
        if row is None:
            return None
        value = json.loads(row[0])
        splits = {
            key: {name: (float(f), int(n)) for name, (f, n) in value[key].items()}
            for key in ("by_bucket", "by_condition")
        }
        return Accuracy(value["overall"], **splits, measured=value["measured"])

    def add_accuracy(self, plan: str, evaluation: str, accuracy: Accuracy) -> None:
        """Store what was measured of a plan on an evaluation set."""
        row = (plan, evaluation, versions(), time.time(), json.dumps(asdict(accuracy)))
        with self._open() as store:
            store.execute("INSERT OR REPLACE INTO accuracy VALUES (?, ?, ?, ?, ?)", row)

    def add_episodes(self, task: str, episodes: Iterable[Episode]) -> int:
        """Store answered requests; return how many were new.

        One that is there gets its label, if it comes with one now.
        """
        rows = [
            (
                task,
                e.request_id,
                e.plan,
                e.bucket,
                e.propensity,
                e.reward,
                e.labelled,
                time.time(),
            )
            for e in episodes
        ]
        count = "SELECT count(*) FROM episode"
        with self._open() as store:
            (before,) = store.execute(count).fetchone()
            store.executemany(
                f"INSERT INTO episode VALUES (?{', ?' * 7}) ON CONFLICT DO UPDATE SET"
                " reward = excluded.reward, labelled = 1"
                " WHERE excluded.labelled > episode.labelled",
                rows,
            )
            (after,) = store.execute(count).fetchone()
        return int(after - before)

    def episodes(self, task: str) -> list[Episode]:
        """Return every answered request of a task, in the order of arrival."""
        with self._open() as store:
            rows = store.execute(
                "SELECT request_id, plan, bucket, propensity, reward, labelled FROM episode"
                " WHERE task = ? ORDER BY rowid",
                (task,),
            ).fetchall()
        return [
            Episode(
                request_id=request_id,
                plan=plan,
                bucket=bucket,
                propensity=propensity,
                reward=reward,
                labelled=bool(labelled),
            )
            for request_id, plan, bucket, propensity, reward, labelled in rows
        ]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection; what is done to it is done whole or not at all."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            store = sqlite3.connect(self.path, timeout=TIMEOUT_S)
        except (OSError, sqlite3.Error) as error:
            raise self._failed(error) from error
        try:
            self._prepare(store)
            with store:
                yield store
        except sqlite3.Error as error:
            raise self._failed(error) from error
        finally:
            store.close()

    def _prepare(self, store: sqlite3.Connection) -> None:
        """Switch to WAL and make the tables; a change of mode does not wait by itself."""
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            try:
                store.execute("PRAGMA journal_mode = WAL")
                store.executescript(SCHEMA)
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(POLL_S)
            else:
                return

    def _failed(self, error: Exception) -> SutureError:
        return SutureError(
            f"the records cannot be used: {error}",
            at=Location(str(self.path)),
            hint="give another folder with --cache, or move the file away",
        )
