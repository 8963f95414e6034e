"""A process of its own for one hostile message: bytes on stdin, JSON on stdout, limited time and memory.

Started by inbound.py as a file, with nothing of Django loaded.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import Any

CPU_SECONDS = 8


def memory_for(octets: int) -> int:
    """Room for the interpreter and its libraries, and for what one message of this size can need."""
    return 400_000_000 + 12 * octets


def limit(octets: int) -> None:
    memory = memory_for(octets)
    limits = {resource.RLIMIT_AS: memory, resource.RLIMIT_CPU: CPU_SECONDS, resource.RLIMIT_CORE: 0}
    for kind, value in limits.items():
        resource.setrlimit(kind, (value, value))


def answer(data: bytes, asked: str = "") -> dict[str, Any]:
    """The message; what it reports of other mail; or, for a number, that attachment."""
    if asked == "reports":
        from mailboxes import dsn

        return dsn.read(data)
    from mailboxes import parsing

    return parsing.attachment(data, int(asked)) if asked else parsing.parse(data)


def main() -> int:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from mailboxes import parsing

    data = sys.stdin.buffer.read()
    limit(len(data))
    try:
        result = answer(data, *sys.argv[1:])
    except parsing.TooComplex as error:
        result = {"error": str(error)}
    except (Exception, RecursionError) as error:
        # the class only: the text of an exception may hold the message
        result = {"error": f"The message can't be read ({type(error).__name__})."}
    json.dump(result, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
