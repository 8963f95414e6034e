"""`python -m benchmarks.inbound`: how fast mail is accepted by SMTP, and when all of it is read.

Several senders, each on a connection of its own, send as fast as they are answered: 250 means committed.
With `--kill`, `up` is killed (kill -9) in the middle and started again; each sender then sends what it was
not told of, and the run ends when every message is an email. Beside it: how fast the disk takes an fsync.
"""

from __future__ import annotations

import argparse
import json
import os
import smtplib
import sqlite3
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

from benchmarks.fsync import fsyncs
from benchmarks.report import Report, note_load
from tests.processes import Up, manage

MAILBOX = "support@acme.example"
FSYNCS = 500
LINE = "x" * 70 + "\r\n"


@dataclass
class Run:
    up: Up
    count: int
    senders: int
    octets: int
    kill: bool
    latencies: list[float] = field(default_factory=list)
    accepted: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _restarted: threading.Event = field(default_factory=threading.Event)

    def send_all(self) -> float:
        """The seconds in which all were accepted."""
        start = time.perf_counter()
        with ThreadPoolExecutor(self.senders + 1) as pool:
            sending = [pool.submit(self._send, first) for first in range(self.senders)]
            if self.kill:
                pool.submit(self._kill_in_the_middle).result()
            for one in sending:
                one.result()
        return time.perf_counter() - start

    def _send(self, first: int) -> None:
        todo = list(range(first, self.count, self.senders))
        while todo:
            try:
                with smtplib.SMTP(*self.up.smtp, local_hostname="far.example") as client:
                    while todo:
                        self._send_one(client, todo[0])
                        del todo[0]
            except (OSError, smtplib.SMTPException):
                if not self.kill:
                    raise
                self._restarted.wait(120)

    def _send_one(self, client: smtplib.SMTP, number: int) -> None:
        sender = f"p{number}@far.example"
        named = f"Subject: message {number}\r\nMessage-ID: <{number}@far.example>\r\n"
        head = f"From: {sender}\r\nTo: {MAILBOX}\r\n{named}"
        start = time.perf_counter()
        client.sendmail(sender, [MAILBOX], f"{head}\r\n{LINE * (self.octets // len(LINE))}")
        with self._lock:
            self.latencies.append(time.perf_counter() - start)
            self.accepted += 1

    def _kill_in_the_middle(self) -> None:
        while self.accepted < self.count // 2:
            time.sleep(0.01)
        self.up.close()
        self.up = Up.started(self.up.data)
        self._restarted.set()

    def wait_until_read(self) -> float:
        """The seconds until each message is an email."""
        start = time.perf_counter()
        path = f"file:{self.up.data / 'counterseal.sqlite3'}?mode=ro"
        while True:
            with closing(sqlite3.connect(path, uri=True)) as database:
                (read,) = database.execute("SELECT count(DISTINCT subject) FROM mailboxes_email").fetchone()
            if read >= self.count:
                return time.perf_counter() - start
            time.sleep(0.5)

    def emails(self) -> int:
        path = f"file:{self.up.data / 'counterseal.sqlite3'}?mode=ro"
        with closing(sqlite3.connect(path, uri=True)) as database:
            return int(database.execute("SELECT count(*) FROM mailboxes_email").fetchone()[0])


def processor_time(up: Up) -> float:
    """Seconds of user and system time of the process itself."""
    fields = Path(f"/proc/{up.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(count: int, senders: int, octets: int, kill: bool, directory: Path) -> Report:
    asked = {"messages": count, "connections": senders, "octets each": octets, "killed in the middle": kill}
    report = Report(
        "mail accepted by SMTP, on loopback", {"database": "SQLite, WAL, synchronous=FULL"} | asked
    )
    report.add("fsync before", fsyncs(directory, FSYNCS))
    made = manage(
        directory / "data", "provision", "-", stdin=json.dumps({"mailboxes": [{"address": MAILBOX}]})
    )
    if made.returncode:
        raise RuntimeError(made.stderr)
    run = Run(Up.started(directory / "data"), count, senders, octets, kill)
    try:
        before = processor_time(run.up)
        seconds = run.send_all()
        spent = processor_time(run.up) - before
        report.add("accepted: MAIL to 250", run.latencies)
        report.remarks.append(f"{run.accepted} accepted in {seconds:.1f} s: {count / seconds:.0f} a second.")
        if not kill:
            each = spent / count * 1000
            report.remarks.append(f"Processor time meanwhile, reading included: {each:.2f} ms a message.")
        report.remarks.append(
            f"All read {run.wait_until_read():.1f} s after the last; {run.emails()} emails."
        )
    finally:
        run.up.close()
    report.add("fsync after", fsyncs(directory, FSYNCS))
    note_load(report)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--connections", type=int, default=10)
    parser.add_argument("--octets", type=int, default=2_000)
    parser.add_argument("--kill", action="store_true", help="kill -9 in the middle, and start again")
    parser.add_argument("--directory", type=Path, help="where to put the install (default: a temporary one)")
    parser.add_argument("--json", type=Path, help="keep the report here, to compare it with a later one")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchmark-", dir=asked.directory) as made:
        report = measure(asked.messages, asked.connections, asked.octets, asked.kill, Path(made))
    print(report.table())
    if asked.json:
        report.save(asked.json)


if __name__ == "__main__":
    main()
