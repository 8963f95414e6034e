"""What takes too long is cut, by one thread for the whole process."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

from mailboxes.deadlines import Watch


def test_a_step_that_takes_too_long_is_cut() -> None:
    cut = threading.Event()
    with Watch().within(0.01, cut.set):
        assert cut.wait(10)


def test_it_is_cut_again_until_it_ends() -> None:
    """What there is to cut, a socket, may come into being only after its time."""
    cuts = threading.Semaphore(0)
    with Watch().within(0.01, cuts.release):
        assert all(cuts.acquire(timeout=10) for _ in range(3))


def test_a_step_that_has_ended_is_never_cut() -> None:
    watch, cut, later = Watch(), threading.Event(), threading.Event()
    with watch.within(0.01, cut.set):
        assert cut.wait(10)
    cut.clear()
    with watch.within(0.5, later.set):  # longer than it takes for the first one's turn to come again
        assert later.wait(10)
    assert not cut.is_set()


def test_a_short_step_is_cut_while_a_long_one_goes_on() -> None:
    watch, long, short = Watch(), threading.Event(), threading.Event()
    with watch.within(60, long.set), watch.within(0.01, short.set):
        assert short.wait(10)
    assert not long.is_set()


def test_many_steps_share_one_thread() -> None:
    watch, before = Watch(), threading.active_count()
    with watch.within(60, lambda: None), watch.within(60, lambda: None):
        for _ in range(100):
            with watch.within(60, lambda: None):
                pass
        assert threading.active_count() <= before + 1


def test_it_watches_again_after_it_had_nothing_to_watch() -> None:
    watch = Watch()
    for _ in range(3):
        cut = threading.Event()
        with watch.within(0.01, cut.set):
            assert cut.wait(10)
        time.sleep(0.3)  # until it has found nothing and sleeps


def test_what_cannot_be_cut_takes_the_deadline_from_nothing_else() -> None:
    def odd() -> None:
        tried.set()
        raise RuntimeError("odd")

    watch, tried, cut = Watch(), threading.Event(), threading.Event()
    with watch.within(0.01, odd):
        assert tried.wait(10)
        with watch.within(0.01, cut.set):
            assert cut.wait(10)


FORKED = """
import os, threading
from mailboxes.deadlines import Watch

watch, awake, cut = Watch(), threading.Event(), threading.Event()
with watch.within(0.01, awake.set):
    awake.wait(10)
    with watch.within(60, lambda: None):  # once it may, the thread has set when it looks again
        child = os.fork()
    if not child:
        # later than what the parent's thread, which is not here, was to look at
        with watch.within(1, cut.set):
            os._exit(0 if cut.wait(10) else 1)
    os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_child_that_is_forked_during_a_step_watches_its_own() -> None:
    # a process of its own forks: this one has threads that hold locks
    assert subprocess.run([sys.executable, "-c", FORKED], check=False).returncode == 0
