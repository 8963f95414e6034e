"""One thread for each IMAP folder, and one that sees to it that there are those."""

from __future__ import annotations

import logging
import threading
import time

from django.db import connections

from approvals.effects import fetching
from mailboxes.imap import ImapError
from mailboxes.models import ImapSource

log = logging.getLogger("counterseal.imap")

LOOK_EVERY = 5.0  # seconds, for folders that are new
SOONEST, LATEST = 5.0, 300.0  # seconds between attempts at a server that is in trouble


class Fetchers:
    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._following: dict[str, threading.Thread] = {}
        self._thread = threading.Thread(target=self._run, name="imap", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()

    def join(self, deadline: float) -> bool:
        threads = [self._thread, *self._following.values()]
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._begin_new()
            except Exception:
                log.exception("the folders to be fetched from could not be looked up")
            finally:
                connections.close_all()
            self._stopping.wait(LOOK_EVERY)

    def _begin_new(self) -> None:
        wanted = ImapSource.objects.filter(mailbox__is_active=True).values_list("pk", flat=True)
        for pk in wanted:
            thread = self._following.get(pk)
            if thread is None or not thread.is_alive():
                thread = threading.Thread(target=self._follow, args=[pk], name=f"imap-{pk}", daemon=True)
                self._following[pk] = thread
                thread.start()

    def _follow(self, pk: str) -> None:
        """Until the folder is no longer wanted."""
        pause = SOONEST
        while not self._stopping.is_set():
            source = ImapSource.objects.select_related("mailbox").filter(pk=pk).first()
            if source is None or not source.mailbox.is_active:
                break
            began_at = time.monotonic()
            self._follow_once(source)
            # one that held for a while is worth an early attempt
            pause = SOONEST if time.monotonic() - began_at > LATEST else min(pause * 2, LATEST)
            connections.close_all()
            self._stopping.wait(pause)
        connections.close_all()

    def _follow_once(self, source: ImapSource) -> None:
        try:
            fetching.follow(source, self._stopping.is_set)
        except fetching.Overtaken as error:
            log.info("%s", error)
        except ImapError as error:
            log.warning("%s: %s", source, error)
            fetching.note_trouble(source, str(error))
        except Exception:
            log.exception("%s could not be fetched", source)
