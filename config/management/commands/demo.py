"""`manage.py demo`: `up` on an install that is filled with something to decide about."""

from __future__ import annotations

import argparse
import os
from typing import Any

from config.demo.seed import seed, sign_in_links
from config.embedded import run
from config.management.commands import up


class Command(up.Command):
    help = "Run everything, seeded with three mailboxes, two assistants and mail that waits for a decision."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.set_defaults(port=None, smtp_port=None)

    def handle(self, *args: Any, port: int | None, smtp_port: int | None, **options: Any) -> None:
        """Without a wish, the usual ports if they are free and any others if not."""
        host = options["host"]
        super().handle(
            *args,
            port=_free(host, 8000) if port is None else port,
            smtp_port=_free(host, 2525) if smtp_port is None else smtp_port,
            **options,
        )

    def prepare(self) -> None:
        super().prepare()
        seed()

    def greet(self, url: str, smtp: str) -> None:
        super().greet(url, smtp)
        model = "a real model" if _has_model() else "a script (set OPENAI_API_KEY for a real model)"
        lines = [
            "",
            f"The assistants follow {model}. Their mail waits for you in the queue.",
            "Sign in with one of these links; each works once, for an hour:",
            *(f"  {role:<14} {link}" for role, link in sign_in_links()),
            "",
            "Approve one as the reviewer: it is sent (see Caught mail), and its run goes on (see Runs).",
            "",
        ]
        self.stdout.write("\n".join(lines))
        self.stdout.flush()


def _has_model() -> bool:
    return bool(os.environ.get("OPENAI_API_KEY") or os.environ.get("OPENAI_BASE_URL"))


def _free(host: str, port: int) -> int:
    try:
        run.bind(host, port).close()
    except run.CannotStart:
        return 0
    return port
