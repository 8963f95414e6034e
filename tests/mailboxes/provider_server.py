"""Mail providers on loopback: each checks a request as its documentation says, and answers as it does."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Self

KEY, DROP, STALL = "k3y/with+signs", "drop", "stall"
ACCESS, REGION = "AKIAEXAMPLE", "eu-west-1"

Taken = tuple[list[str], bytes]


@dataclass
class ProviderServer:
    """`answer`: in place of the provider's own, a (status, body), or DROP or STALL once all was read."""

    messages: list[Taken] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    options: list[dict[str, Any]] = field(default_factory=list)
    answer: tuple[int, Any] | str | None = None
    over: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    def url(self, provider: str, secret: str = "k3y%2Fwith%2Bsigns") -> str:
        user = ACCESS if provider == "ses" else ""
        path = {"mailgun": "/mg.acme.test", "ses": f"/{REGION}"}.get(provider, "")
        return f"{provider}://{user}:{secret}@127.0.0.1:{self.port}{path}?tls=none"

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Self]:
        fake = cls()
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"fake": fake}))
        server.daemon_threads = True
        fake.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield fake
        finally:
            fake.over.set()
            server.shutdown()
            server.server_close()
            thread.join(5)


class _Handler(BaseHTTPRequestHandler):
    fake: ClassVar[ProviderServer]

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def log_message(self, *_args: object) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.fake.paths.append(self.path)
        if self.fake.answer == DROP:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return None
        if self.fake.answer == STALL:
            self.fake.over.wait(30)
            return None
        if isinstance(self.fake.answer, tuple):
            return self._say(*self.fake.answer)
        known = {
            "/v3/": self._mailgun,
            "/api/v1/t": self._sparkpost,
            "/api/v1/s": self._postal,
            "/v2/": self._ses,
        }
        read = next(read for start, read in known.items() if self.path.startswith(start))
        return self._say(*read(body))

    def _say(self, status: int, answer: Any) -> None:
        body = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if status in (301, 302, 307):
            self.send_header("Location", f"http://127.0.0.1:{self.fake.port}/v3/elsewhere")
        self.end_headers()
        self.wfile.write(body)

    def _take(self, recipients: list[str], data: bytes, **options: Any) -> None:
        self.fake.messages.append((recipients, data))
        self.fake.options.append(options)

    def _mailgun(self, body: bytes) -> tuple[int, Any]:
        wanted = "Basic " + base64.b64encode(f"api:{KEY}".encode()).decode()
        if self.headers["Authorization"] != wanted:
            return 401, "Forbidden"
        if self.path != "/v3/mg.acme.test/messages.mime":
            return 404, {"message": "Domain not found"}
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        parts = list(BytesParser(policy=HTTP).parsebytes(head + body).iter_parts())
        named: dict[str, list[bytes]] = {}
        boundary = str(self.headers["Content-Type"]).partition("boundary=")[2].encode()
        for part, raw in zip(parts, body.split(b"--" + boundary)[1:], strict=False):
            # the parser would change the line ends of the message
            content = raw.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")
            name = str(part.get_param("name", header="content-disposition"))
            named.setdefault(name, []).append(content)
        if not named.get("to") or not named.get("message"):
            return 400, {"message": "to parameter is missing"}
        options = {name: values[0].decode() for name, values in named.items() if name.startswith("o:")}
        self._take([one.decode() for one in named["to"]], named["message"][0], **options)
        return 200, {"id": "<20261128.1@mg.acme.test>", "message": "Queued. Thank you."}

    def _sparkpost(self, body: bytes) -> tuple[int, Any]:
        if self.headers["Authorization"] != KEY:
            return 401, {"errors": [{"message": "Unauthorized."}]}
        sent = json.loads(body)
        recipients = [one["address"]["email"] for one in sent["recipients"]]
        options = {"return_path": sent["return_path"], **sent["options"]}
        self._take(recipients, sent["content"]["email_rfc822"].encode(), **options)
        counts = {"total_rejected_recipients": 0, "total_accepted_recipients": len(recipients)}
        return 200, {"results": {**counts, "id": "11668787484950529"}}

    def _postal(self, body: bytes) -> tuple[int, Any]:
        sent = json.loads(body)
        if self.headers["X-Server-API-Key"] != KEY:
            return 200, {"status": "error", "data": {"code": "InvalidServerAPIKey"}}
        self._take(sent["rcpt_to"], base64.b64decode(sent["data"]), mail_from=sent["mail_from"])
        messages = {one: {"id": 1, "token": "t"} for one in sent["rcpt_to"]}
        return 200, {"status": "success", "data": {"message_id": "m-1", "messages": messages}}

    def _ses(self, body: bytes) -> tuple[int, Any]:
        if self.headers["Authorization"] != self._aws_signature(body):
            return 403, {"message": "The request signature we calculated does not match"}
        sent = json.loads(body)
        data = base64.b64decode(sent["Content"]["Raw"]["Data"])
        self._take(sent["Destination"]["ToAddresses"], data, sender=sent["FromEmailAddress"])
        return 200, {"MessageId": "0102018d-amazon-000000"}

    def _aws_signature(self, body: bytes) -> str:
        """Signature Version 4, as Amazon documents it step by step."""
        at = self.headers["X-Amz-Date"]
        canonical = (
            f"POST\n{self.path}\n\ncontent-type:{self.headers['Content-Type']}\nhost:{self.headers['Host']}\n"
            f"x-amz-date:{at}\n\ncontent-type;host;x-amz-date\n{hashlib.sha256(body).hexdigest()}"
        )
        scope = f"{at[:8]}/{REGION}/ses/aws4_request"
        to_sign = f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"

        def mac(key: bytes, text: str) -> bytes:
            return hmac.new(key, text.encode(), hashlib.sha256).digest()

        key = mac(mac(mac(mac(f"AWS4{KEY}".encode(), at[:8]), REGION), "ses"), "aws4_request")
        signature = mac(key, to_sign).hex()
        return (
            f"AWS4-HMAC-SHA256 Credential={ACCESS}/{scope}, SignedHeaders=content-type;host;x-amz-date, "
            f"Signature={signature}"
        )
