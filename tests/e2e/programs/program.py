"""The programs of docs/driving, run as their reader runs them: a file, an interpreter, an environment."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings

FOLDER = settings.BASE_DIR / "docs/driving"
INDEX = FOLDER / "index.md"
PAGES = {path.stem: path for path in sorted(FOLDER.glob("*.md")) if path != INDEX}

Kill = Callable[[], None]


def text_of(loop: str) -> str:
    """The one program of a page, as it stands there."""
    (program,) = re.findall(r"^```python\n(.*?)^```$", PAGES[loop].read_text(), re.MULTILINE | re.DOTALL)
    return str(program)


@dataclass
class Started:
    process: subprocess.Popen[str]
    said: str = ""
    complaints: str = ""

    def end(self) -> int:
        self.said, self.complaints = self.process.communicate(timeout=240)
        return self.process.returncode

    @property
    def status(self) -> int:
        return self.end() if self.process.returncode is None else self.process.returncode

    @property
    def told(self) -> list[dict[str, Any]]:
        """What its model was told of its calls, which the fake model says in the end."""
        assert self.status == 0, self.complaints
        outputs: list[dict[str, Any]] = json.loads(self.said)
        return outputs


@dataclass
class Program:
    folder: Path  # the program, and what it saves
    environment: dict[str, str]
    started: list[Started] = field(default_factory=list)

    @classmethod
    def of(cls, loop: str, folder: Path, environment: dict[str, str]) -> Program:
        folder.mkdir()
        (folder / "program.py").write_text(text_of(loop))
        return cls(folder, environment)

    def copy(self, name: str) -> Program:
        """The same program with the same saved state, somewhere else."""
        folder = self.folder.with_name(name)
        shutil.copytree(self.folder, folder)
        return Program(folder, self.environment, self.started)

    def start(self, *, patience: float = 300, dies_at: Callable[[Kill], None] | None = None) -> Started:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        process = subprocess.Popen(
            [sys.executable, "program.py", "Write to Anna."],
            cwd=self.folder,
            env=kept | self.environment | {"PATIENCE": str(patience)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if dies_at:
            dies_at(process.kill)
        self.started.append(Started(process))
        return self.started[-1]

    def run(self, *, patience: float = 300) -> Started:
        """To its end."""
        started = self.start(patience=patience)
        started.end()
        return started

    def close(self) -> None:
        """Nothing outlives a test that failed."""
        for one in self.started:
            if one.process.poll() is None:
                one.process.kill()
                one.end()
