"""kill -9 while mail comes in at full speed: what was accepted is an email after the restart, and once."""

from __future__ import annotations

import json
import signal
import smtplib
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.faults.test_kill import until
from tests.processes import Up, manage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SUPPORT = "support@acme.example"
SENDERS = 4
EACH = 40


@pytest.fixture
def data(tmp_path: Path) -> Path:
    told = manage(
        tmp_path / "data", "provision", "-", stdin=json.dumps({"mailboxes": [{"address": SUPPORT}]})
    )
    assert told.returncode == 0, told.stderr
    return tmp_path / "data"


class Senders:
    """Each sends its letters one after another, and notes those that were accepted."""

    def __init__(self, up: Up) -> None:
        self.up = up
        self.accepted: set[str] = set()
        self.changed = threading.Condition()

    def send(self, letters: list[str]) -> None:
        with suppress(OSError, smtplib.SMTPException), smtplib.SMTP(*self.up.smtp) as client:
            for letter in letters:
                head = f"From: c@far.example\r\nSubject: {letter}\r\nMessage-ID: <{letter}@far.example>\r\n"
                client.sendmail("c@far.example", [SUPPORT], f"{head}\r\nhi\r\n")
                with self.changed:
                    self.accepted.add(letter)
                    self.changed.notify()

    def wait_for(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.accepted) >= count, 60)


def subjects(data: Path) -> list[str]:
    path = f"file:{data / 'counterseal.sqlite3'}?mode=ro"
    with closing(sqlite3.connect(path, uri=True)) as database:
        return [row[0] for row in database.execute("SELECT subject FROM mailboxes_email")]


def open_promises(data: Path) -> int:
    path = f"file:{data / 'counterseal.sqlite3'}?mode=ro"
    with closing(sqlite3.connect(path, uri=True)) as database:
        return int(
            database.execute("SELECT count(*) FROM approvals_outboxentry WHERE done_at IS NULL").fetchone()[0]
        )


@pytest.fixture
def started() -> Iterator[list[Up]]:
    ups: list[Up] = []
    yield ups
    for up in ups:
        up.close()


def test_what_was_accepted_before_a_kill_is_read_after_it(data: Path, started: list[Up]) -> None:
    started.append(Up.started(data))
    senders = Senders(started[0])
    letters = [[f"{sender}-{number}" for number in range(EACH)] for sender in range(SENDERS)]
    with ThreadPoolExecutor(SENDERS) as pool:
        sending = pool.map(senders.send, letters)
        senders.wait_for(SENDERS * EACH // 2)
        started[0].stop(signal.SIGKILL)
        list(sending)
    assert len(senders.accepted) < SENDERS * EACH
    started.append(Up.started(data))
    until(lambda: senders.accepted <= set(subjects(data)) and not open_promises(data), seconds=120)
    found = subjects(data)
    assert len(found) == len(set(found))
    # each sender may have had one on the way whose 250 it did not hear any more
    assert len(set(found) - senders.accepted) <= SENDERS
    started[1].close()
    assert manage(data, "verify_audit").returncode == 0


@pytest.mark.parametrize(
    "point",
    [
        "approvals.gate:receive_all:before",
        "approvals.gate:receive_all:after",
        "approvals.gate:admit:before",
        "approvals.gate:admit:after",
    ],
)
def test_it_may_die_anywhere_between_the_bytes_and_the_email(
    data: Path, started: list[Up], point: str
) -> None:
    armed = data.with_name("armed")
    started.append(Up.started(data, runner=("-m", "tests.faults.crashing", point), ARMED=str(armed)))
    armed.touch()
    senders = Senders(started[0])
    senders.send(["one"])
    started[0].process.wait(60)
    assert started[0].process.returncode == -signal.SIGKILL
    started.append(Up.started(data))
    if not senders.accepted:
        # nobody told its sender that it is here, so it comes again; then it may be here twice, once with each
        senders.up = started[1]
        senders.send(["one"])
    until(lambda: "one" in subjects(data) and not open_promises(data), seconds=60)
    assert len(subjects(data)) == 1 or point.endswith("receive_all:after")
