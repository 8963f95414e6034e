"""`python -m benchmarks.mail_server JOURNAL`: a real SMTP server that keeps mail and does nothing with it.

Like a relay, it answers 250 only after what it took is on disk. Says `port N` first, and then for each
message the moment at which it was accepted and to whom: `1700000000.123456 anna@example.com`.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

from aiosmtpd.smtp import SMTP, Envelope, Session


class Keeper:
    def __init__(self, journal: int) -> None:
        self.journal = journal

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        os.write(self.journal, envelope.original_content or b"")
        os.fsync(self.journal)
        print(f"{time.time():.6f} {' '.join(envelope.rcpt_tos)}", flush=True)
        return "250 2.0.0 kept"


async def serve(journal: int) -> None:
    keeper, loop = Keeper(journal), asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(keeper, hostname="relay.test"), "127.0.0.1", 0)
    print("port", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)))
