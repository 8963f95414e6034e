"""`manage.py mcp`: the tools of /mcp on stdin and stdout, for a client that starts its servers itself."""

from __future__ import annotations

import argparse
import asyncio
import os
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from approvals.mcp.calls import Caller
from assistants.keys import find_key
from audit import watch

# the names that configurations for such clients have already
KEY, MAILBOX = "MULTIMAIL_API_KEY", "MULTIMAIL_MAILBOX_ID"


class Command(BaseCommand):
    help = f"Serve the MCP tools on stdin and stdout, in this process, with the API key in {KEY}."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--key-file", help=f"a file that holds the API key, instead of the variable {KEY}"
        )
        parser.add_argument(
            "--mailbox",
            default=os.environ.get(MAILBOX, ""),
            help=f"where a tool works that names no mailbox (default: the variable {MAILBOX})",
        )

    def handle(self, *_args: Any, key_file: str | None, mailbox: str, **_options: Any) -> None:
        secret = _read(key_file) if key_file else os.environ.get(KEY, "").strip()
        if not secret:
            raise CommandError(f"Put an API key into {KEY}, or name a file that holds one as --key-file.")
        try:
            key = find_key(secret)
        finally:
            watch.let_go()
        if key is None:
            raise CommandError("This API key is unknown, expired or revoked.")
        asyncio.run(_serve(Caller(key, {"Authorization": f"Bearer {secret}"}, mailbox)))


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError as error:
        raise CommandError(f"Cannot read {path}: {error.strerror}.") from error


async def _serve(caller: Caller) -> None:
    from mcp.server.stdio import stdio_server

    from approvals.mcp.server import server_for

    server = server_for(caller)
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())
