"""`manage.py receive_mail`: the receiving mail server alone, where the rest runs in other processes."""

from __future__ import annotations

import argparse
import signal
import threading
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from config.embedded import run
from config.receiving.server import LmtpSession, MailServer, SmtpSession


class Command(BaseCommand):
    help = "Receive mail by SMTP, LMTP or both until stopped; other processes read what came (see up)."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
        parser.add_argument("--smtp-port", type=int, help="SMTP; 0 picks a free one")
        parser.add_argument("--lmtp-port", type=int, help="LMTP, likewise")

    def handle(
        self, *_args: Any, host: str, smtp_port: int | None, lmtp_port: int | None, **_options: Any
    ) -> None:
        asked = [("SMTP", smtp_port, SmtpSession), ("LMTP", lmtp_port, LmtpSession)]
        if smtp_port is None and lmtp_port is None:
            asked = [("SMTP", 2525, SmtpSession)]
        stopped = threading.Event()
        for sig in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sig, lambda *_: stopped.set())
        started: list[MailServer] = []
        try:
            for name, port, session in asked:
                if port is not None:
                    started.append(run.start_mail(host, port, session))
                    self.stdout.write(f"  mail in   {host}:{started[-1].port} ({name})")
            self.stdout.flush()
            stopped.wait()
        except (run.CannotStart, ImproperlyConfigured) as error:
            raise CommandError(str(error)) from error
        finally:
            for server in started:
                server.stop()
