"""`python -m benchmarks.model_server`: a Chat Completions endpoint that writes one mail and is then done.

It thinks for no time at all. Says `port N` first, and then the moment at which it was shown the output
of its call, and in which run: `1700000000.123456 round-7`. A run is known by the word that stands in its
conversation.
"""

from __future__ import annotations

import json
import re
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WORD = re.compile(r"(?:round|poll)-\d+")


def turn(asked: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """(finish_reason, what the model says) in answer to `asked`."""
    messages = asked["messages"]
    if messages[-1]["role"] == "tool":
        return "stop", {"role": "assistant", "content": "Done."}
    said = json.dumps(messages)
    word, mailbox = WORD.findall(said)[0], re.findall(r"mbx_\w+", said)[0]
    letter = {
        "to": f"{word}@far.example",
        "subject": word,
        "body": "It is on its way.",
        "mailbox_id": mailbox,
    }
    function = {"name": "send_email", "arguments": json.dumps(letter)}
    call = {"index": 0, "id": f"call_{word}", "type": "function", "function": function}
    return "tool_calls", {"role": "assistant", "content": None, "tool_calls": [call]}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        at = time.time()
        reason, message = turn(asked)
        if reason == "stop":
            print(f"{at:.6f} {WORD.findall(json.dumps(asked['messages']))[0]}", flush=True)
        self.answer(reason, message, streamed=bool(asked.get("stream")))

    def answer(self, reason: str, message: dict[str, Any], *, streamed: bool) -> None:
        kind, field = ("chat.completion.chunk", "delta") if streamed else ("chat.completion", "message")
        body = json.dumps(
            {
                "id": "chatcmpl-1",
                "object": kind,
                "created": int(time.time()),
                "model": "null",
                "choices": [{"index": 0, "finish_reason": reason, field: message}],
                "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
            }
        )
        data = f"data: {body}\n\ndata: [DONE]\n\n" if streamed else body
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream" if streamed else "application/json")
        self.send_header("Content-Length", str(len(data.encode())))
        self.end_headers()
        self.wfile.write(data.encode())

    def log_message(self, *_args: Any) -> None:
        """Nothing: stderr is the benchmark's own."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print("port", server.server_address[1], flush=True)
    server.serve_forever()
