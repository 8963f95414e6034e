"""`manage.py up` and the other commands as processes of their own, as their user meets them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings


def environment(data: Path, **more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return kept | {"DATA_DIR": str(data), "PYTHONUNBUFFERED": "1"} | more


def manage(data: Path, *arguments: str, stdin: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=settings.BASE_DIR,
        env=environment(data, **more),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@dataclass
class Up:
    data: Path
    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    @classmethod
    def started(
        cls,
        data: Path,
        *arguments: str,
        runner: tuple[str, ...] = ("manage.py",),
        command: str = "up",
        last_line: str = "  data ",
        **more: str,
    ) -> Up:
        """`runner`: what python is started with in place of manage.py. Returns after `last_line` was said."""
        words = [sys.executable, *runner, command, "--port", "0", "--smtp-port", "0", *arguments]
        with data.with_name("log").open("a") as log:
            process = subprocess.Popen(
                words,
                cwd=settings.BASE_DIR,
                env=environment(data, **more),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        up = cls(data, process)
        up._read_until(last_line)
        return up

    def _read_until(self, start: str) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.append(line)
            if line.startswith(start):
                return
        raise AssertionError(f"up ended early: {self.lines} {self.log}")

    @property
    def log(self) -> str:
        return self.data.with_name("log").read_text()

    @property
    def url(self) -> str:
        return str(re.findall(r"http://\S+", "".join(self.lines))[0])

    @property
    def smtp(self) -> tuple[str, int]:
        host, port = re.findall(r"mail in +(\S+):(\d+)", "".join(self.lines))[0]
        return host, int(port)

    def stop(self, sig: signal.Signals) -> int:
        self.process.send_signal(sig)
        status = self.process.wait(20)
        self.close()
        return status

    def close(self) -> None:
        """kill -9, if it has not ended yet."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()
