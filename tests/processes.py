"""`manage.py up` and the other commands as processes of their own, as their user meets them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

from django.conf import settings
from django.db import connection

DATABASE = "counterseal.sqlite3"


def environment(data: Path, **more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return kept | {"DATA_DIR": str(data), "PYTHONUNBUFFERED": "1"} | more


@cache
def _migrated() -> bytes:
    """The database of an install with nothing in it: making one takes longer than most tests do."""
    with TemporaryDirectory() as directory:
        data = Path(directory)
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
            cwd=settings.BASE_DIR,
            env=environment(data),
            check=True,
            timeout=120,
        )
        return (data / DATABASE).read_bytes()


def _start_from_migrated(data: Path) -> None:
    database = data / DATABASE
    if not database.exists():
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        database.write_bytes(_migrated())


def manage(data: Path, *arguments: str, stdin: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    if "provision" in arguments and "DATABASE_URL" not in more:
        _start_from_migrated(data)
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


def from_one_shot(scripts: Sequence[str], data: Path, **more: str) -> list[str]:
    """Run each script in a process of its own on the database of the test; what each said after "ready".

    A script sets itself up, prints "ready" and reads a line, which all are given at the same moment.
    """
    with ExitStack() as running:
        workers = [running.enter_context(_a_worker(script, data, more)) for script in scripts]
        for worker in workers:
            running.callback(worker.kill)
        ready = [worker.stdout.readline() for worker in workers if worker.stdout]
        assert set(ready) == {"ready\n"}
        for worker in workers:
            assert worker.stdin
            worker.stdin.write("go\n")
            worker.stdin.flush()
        return [worker.communicate(timeout=300)[0] for worker in workers]


def _a_worker(script: str, data: Path, more: Mapping[str, str]) -> subprocess.Popen[str]:
    set_up = {
        "DATABASE_URL": _address_of_the_database(),
        "SECRET_KEY": "only for tests",
        "DJANGO_SETTINGS_MODULE": "config.settings",
    }
    return subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=settings.BASE_DIR,
        env=environment(data, **set_up, **more),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _address_of_the_database() -> str:
    known = connection.settings_dict
    name = quote(str(known["NAME"]), safe="/")
    if connection.vendor == "sqlite":
        return f"sqlite:///{name}"
    login = f"{quote(str(known['USER'] or ''))}:{quote(str(known['PASSWORD'] or ''))}"
    # a host that is a directory of sockets is escaped
    return f"postgresql://{login}@{quote(str(known['HOST'] or ''), safe='')}:{known['PORT'] or ''}/{name}"
