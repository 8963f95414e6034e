"""What a far side may answer. Whether trying again helps is in the name."""


class Unreachable(Exception):
    """Nothing was heard, or it was busy: try again."""


class Refused(Exception):
    """It will not, however often it is asked."""


class NotWaiting(Exception):
    """The run does not ask for these outputs (any more): read it again."""
