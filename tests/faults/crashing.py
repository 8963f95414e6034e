"""`python -m tests.faults.crashing POINT manage-arguments…`: the product, killed at one exact point.

POINT is `module:name:before|after`: the process sends itself SIGKILL when that function is first
entered or has just returned while the file ARMED exists. No hook stands in the product; names are
replaced where they are looked up.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any


def die() -> None:
    if Path(os.environ["ARMED"]).exists():
        os.kill(os.getpid(), signal.SIGKILL)


def dying(function: Callable[..., Any], when: str) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if when == "before":
            die()
        result = function(*args, **kwargs)
        die()
        return result

    return wrapper


def arm(point: str) -> None:
    module, name, when = point.split(":")
    holder: Any = import_module(module)
    *path, last = name.split(".")
    for part in path:
        holder = getattr(holder, part)
    setattr(holder, last, dying(getattr(holder, last), when))


if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    import django

    django.setup()
    arm(sys.argv[1])
    from django.core.management import execute_from_command_line

    execute_from_command_line(["manage.py", *sys.argv[2:]])
