"""A name server on loopback, for a zone that a test writes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.resolver
import dns.rrset

SERVFAIL, SILENT = "servfail", "silent"


@dataclass
class NameServer:
    """`zone`: by (name, type), the records' values as in a zone file, or SERVFAIL or SILENT."""

    zone: dict[tuple[str, str], list[str] | str] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    port: int = 0

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Self]:
        server = cls()
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        server.port = sock.getsockname()[1]
        thread = threading.Thread(target=server._serve, args=(sock,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            # the empty datagram ends it
            sock.sendto(b"", ("127.0.0.1", server.port))
            thread.join(5)
            sock.close()

    def resolver(self) -> dns.resolver.Resolver:
        made = dns.resolver.Resolver(configure=False)
        made.nameservers, made.port, made.timeout = ["127.0.0.1"], self.port, 0.5
        return made

    def publish(self, name: str, kind: str, *values: str) -> None:
        """A TXT value as one text: it is cut into strings here, as in a zone file."""
        cut = [_strings(value) if kind == "TXT" else value for value in values]
        self.zone[name, kind] = cut

    def _serve(self, sock: socket.socket) -> None:
        while True:
            data, sender = sock.recvfrom(4096)
            if not data:
                return
            answer = self._answer(dns.message.from_wire(data))
            if answer is not None:
                sock.sendto(answer.to_wire(max_size=4096), sender)

    def _answer(self, query: dns.message.Message) -> dns.message.Message | None:
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        found = self.zone.get((name, kind), [])
        if found == SILENT:
            return None
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        if found == SERVFAIL:
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif not any(one == name for one, _ in self.zone):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif found:
            answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *found))
        return answer


def _strings(value: str) -> str:
    return " ".join(f'"{value[start : start + 200]}"' for start in range(0, len(value), 200))
