"""`manage.py up`: the whole product in one process."""

from __future__ import annotations

import argparse
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from approvals import outbox
from assistants import polling
from assistants.server import leases
from config.embedded import run
from mailboxes import routes


class Command(BaseCommand):
    help = "Migrate, then run web, workers, schedule and the receiving mail server in one process."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
        parser.add_argument(
            "--port", type=int, default=8000, help="web; 0 picks a free one (default: %(default)s)"
        )
        parser.add_argument(
            "--smtp-port", type=int, default=2525, help="mail, likewise (default: %(default)s)"
        )

    def handle(self, *_args: Any, host: str, port: int, smtp_port: int, **_options: Any) -> None:
        try:
            if settings.EMAIL_URL:
                routes.parse(settings.EMAIL_URL)
            with run.alone(settings.DATA_DIR) as name:
                self._run(name, host, port, smtp_port)
        except (run.CannotStart, ImproperlyConfigured) as error:
            raise CommandError(str(error)) from error

    def _run(self, name: str, host: str, port: int, smtp_port: int) -> None:
        settings.WORKER_NAME = settings.WORKER_NAME or name
        sock = run.bind(host, port)
        url = run.address(host, sock.getsockname()[1])
        run.use_own_address(url)
        self.prepare()
        mail = run.start_mail(host, smtp_port)
        run.serve(sock, mail, lambda: self.greet(url, f"{host}:{mail.port}"))
        self.stdout.write("Stopped.")

    def prepare(self) -> None:
        """Before anything is served."""
        call_command("migrate", interactive=False, verbosity=0)
        _free_leases()

    def greet(self, url: str, smtp: str) -> None:
        self.stdout.write(
            "\n".join(
                (
                    "Counterseal is running. Stop it with Ctrl+C.",
                    f"  open      {url}",
                    f"  mail in   {smtp} (SMTP)",
                    f"  mail out  {_way_out()}",
                    f"  data      {settings.DATA_DIR}",
                )
            )
        )
        self.stdout.flush()


def _way_out() -> str:
    """Where mail leaves, without the password that EMAIL_URL may hold."""
    return (
        settings.EMAIL_URL.rpartition("@")[2]
        if settings.EMAIL_URL
        else "caught here; read it in the dashboard"
    )


def _free_leases() -> None:
    """What the last process of this install held when it ended, or was killed."""
    outbox.free_leases()
    polling.free_leases()
    leases.free_leases(leases.worker_name())
