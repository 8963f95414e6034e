"""A process of its own for hostile messages: each is read in a child with limited time and memory.

Started by parse_pool.py as a file, with nothing of Django loaded. It answers one request after the other:

    request   8 octets: length of the data · 4 octets, signed: what is asked · the data
    answer    8 octets: length · JSON

The parser is loaded once; a child begins with it and ends with its message, so that nothing which a
message does reaches the next one.
"""

from __future__ import annotations

import json
import os
import resource
import struct
import sys
from pathlib import Path
from typing import Any, BinaryIO

CPU_SECONDS = 8
HEAD = struct.Struct("!Qi")
LENGTH = struct.Struct("!Q")
# what may be asked, besides the number of an attachment
WHOLE, REPORTS = -1, -2
TOO_MUCH = {"error": "The message needs more time or memory than one message may take."}


def memory_for(octets: int) -> int:
    """Room for the interpreter and its libraries, and for what one message of this size can need."""
    return 400_000_000 + 12 * octets


def limit(octets: int) -> None:
    memory = memory_for(octets)
    limits = {resource.RLIMIT_AS: memory, resource.RLIMIT_CPU: CPU_SECONDS, resource.RLIMIT_CORE: 0}
    for kind, value in limits.items():
        resource.setrlimit(kind, (value, value))


def answer(data: bytes, asked: int) -> dict[str, Any]:
    """The message; what it reports of other mail; or, for a number, that attachment."""
    from mailboxes import dsn, parsing

    if asked == REPORTS:
        return dsn.read(data)
    return parsing.parse(data) if asked == WHOLE else parsing.attachment(data, asked)


def read(data: bytes, asked: int) -> dict[str, Any]:
    from mailboxes import parsing

    try:
        return answer(data, asked)
    except parsing.TooComplex as error:
        return {"error": str(error)}
    except (Exception, RecursionError) as error:
        # the class only: the text of an exception may hold the message
        return {"error": f"The message can't be read ({type(error).__name__})."}


def in_child(data: bytes, asked: int) -> bytes:
    """What a child made of the message. Empty if it was ended for what it took."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        failed = 1
        try:
            os.close(reading)
            limit(len(data))
            with os.fdopen(writing, "wb") as out:
                out.write(json.dumps(read(data, asked)).encode())
            failed = 0
        finally:
            # past every clean-up of the parent's
            os._exit(failed)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        found = answer.read()
    _, status = os.waitpid(child, 0)
    return found if os.waitstatus_to_exitcode(status) == 0 else b""


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    while len(head := requests.read(HEAD.size)) == HEAD.size:
        length, asked = HEAD.unpack(head)
        data = requests.read(length)
        if len(data) != length:
            return  # whoever asked is gone
        found = in_child(data, asked) or json.dumps(TOO_MUCH).encode()
        answers.write(LENGTH.pack(len(found)) + found)
        answers.flush()


def main() -> int:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    # before the first fork: each child begins with it loaded
    from mailboxes import dsn, parsing  # noqa: F401

    # what the standard library loads at the first message, and every child would load anew
    parsing.parse(b"From: =?utf-8?q?a?= <a@b.test>\r\nContent-Type: text/html\r\n\r\n<p>a")
    serve(sys.stdin.buffer, sys.stdout.buffer)
    return 0


if __name__ == "__main__":
    sys.exit(main())
