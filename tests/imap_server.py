"""A real IMAP server on loopback (pymap), in a process of its own."""

from __future__ import annotations

import imaplib
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Self

from tests.servers import free_port

USER, PASSWORD = "support@acme.test", "p@ss w/rd"


@dataclass
class ImapServer:
    port: int

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Self]:
        server = cls(free_port())
        words = [sys.executable, "-c", "import sys; from pymap.main import main; sys.exit(main())"]
        where = ["--host", "127.0.0.1", "--port", str(server.port), "--no-tls"]
        who = ["dict", "--demo-user", USER, "--demo-password", PASSWORD]
        process = subprocess.Popen(
            [*words, *where, *who], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            server._wait()
            yield server
        finally:
            process.kill()
            process.wait()

    def _wait(self) -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            with suppress(OSError), self.client():
                return
            time.sleep(0.1)
        raise AssertionError("the IMAP server did not start")

    @contextmanager
    def client(self) -> Iterator[imaplib.IMAP4]:
        client = imaplib.IMAP4("127.0.0.1", self.port)
        client.login(USER, PASSWORD)
        try:
            yield client
        finally:
            client.logout()

    @property
    def url(self) -> str:
        return f"imap://support%40acme.test:p%40ss%20w%2Frd@127.0.0.1:{self.port}/INBOX?tls=none"

    def deliver(self, data: bytes, folder: str = "INBOX") -> None:
        with self.client() as client:
            status, said = client.append(folder, None, None, data)
            assert status == "OK", said

    def messages(self, folder: str = "INBOX") -> list[tuple[bytes, bytes]]:
        """The flags and the bytes of each, without a mark that somebody looked."""
        with self.client() as client:
            client.select(folder, readonly=True)
            _, numbers = client.search(None, "ALL")
            found = [client.fetch(number, "(FLAGS BODY.PEEK[])")[1][0] for number in numbers[0].split()]
            return [(one[0], one[1]) for one in found if isinstance(one, tuple)]

    def start_anew(self, folder: str = "INBOX") -> None:
        """What was in the folder, in one of the same name with other numbers."""
        kept = self.messages(folder)
        with self.client() as client:
            client.delete(folder)
            client.create(folder)
        for _, data in kept:
            self.deliver(data, folder)
