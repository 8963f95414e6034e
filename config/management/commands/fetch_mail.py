"""`manage.py fetch_mail`: fetches from IMAP servers, where `up` does not."""

from __future__ import annotations

import argparse
import signal
import threading
import time
from typing import Any

from django.core.management.base import BaseCommand

from approvals.effects import fetching
from config.receiving.fetching import Fetchers
from mailboxes.imap import ImapError
from mailboxes.models import ImapSource

PATIENCE = 10.0


class Command(BaseCommand):
    help = "Fetch mail from the IMAP servers of all mailboxes until stopped."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="take what is there, and end")

    def handle(self, *_args: Any, once: bool, **_options: Any) -> None:
        if once:
            return self._once()
        stopped = threading.Event()
        for sig in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sig, lambda *_: stopped.set())
        fetchers = Fetchers()
        fetchers.start()
        self.stdout.write("Fetching mail. Stop with Ctrl+C.")
        self.stdout.flush()
        stopped.wait()
        fetchers.stop()
        fetchers.join(time.monotonic() + PATIENCE)

    def _once(self) -> None:
        for source in ImapSource.objects.filter(mailbox__is_active=True).select_related("mailbox"):
            try:
                taken = fetching.fetch(source)
            except (ImapError, fetching.Overtaken) as error:
                fetching.note_trouble(source, str(error))
                self.stderr.write(f"{source.mailbox.address}: {error}")
            else:
                self.stdout.write(f"{source.mailbox.address}: {taken} new")
