from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from approvals.provisioning import Refused, parse_json, provision


class Command(BaseCommand):
    help = "Make what a JSON document names, and print it with ids and new keys. A bad one is refused whole."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help="the document, or - for standard input")

    def handle(self, *args: Any, file: str, **options: Any) -> None:
        try:
            document = parse_json(_read(file))
            _migrate()
            made = provision(document)
        except Refused as error:
            raise CommandError(f"The document was refused, and nothing was written.\n{error}") from error
        # ASCII, because the keys are told only once and must not be lost to a terminal's encoding
        self.stdout.write(json.dumps(made, indent=2))


def _read(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}") from error


def _migrate() -> None:
    """As `up` does, so that an install can be provisioned before it first runs."""
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        call_command("migrate", verbosity=0, interactive=False)
