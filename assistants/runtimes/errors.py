"""What a far side may answer. Whether trying again helps is in the name."""

from datetime import timedelta

LONGEST_PAUSE = timedelta(hours=1)


class Unreachable(Exception):
    """Nothing was heard, or it was busy: try again. What was asked may have been done all the same.

    `after`: not before so many seconds, where it said so.
    """

    def __init__(self, why: str, after: float | None = None) -> None:
        super().__init__(why)
        self.after = after

    @property
    def pause(self) -> timedelta | None:
        return None if self.after is None else min(timedelta(seconds=self.after), LONGEST_PAUSE)


class Refused(Exception):
    """It will not, however often it is asked."""


class Unauthorized(Refused):
    """It will, once its administrator has mended the connection's key."""


class NotWaiting(Exception):
    """The run does not ask for these outputs (any more): read it again."""


class Locked(Exception):
    """The thread takes nothing while a run in it is active: wait for its turn."""


class Gone(Exception):
    """The far side knows no such run or thread."""
