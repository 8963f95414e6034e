"""What one peer, and all peers together, may do at once. Kept in memory, on the server's own thread."""

from __future__ import annotations

import time
from collections import Counter
from ipaddress import ip_address

CONNECTIONS = 400
CONNECTIONS_PER_PEER = 40
REMEMBERED = 10_000  # peers


class Limits:
    """`per_minute`: messages of one peer; 0 for any number. `octets`: of messages that are not stored yet.

    A peer on this machine is a relay of the operator's own, and counts only towards the whole.
    """

    def __init__(
        self,
        *,
        per_minute: int,
        octets: int,
        connections: int = CONNECTIONS,
        connections_per_peer: int = CONNECTIONS_PER_PEER,
        spares_loopback: bool = True,
    ) -> None:
        self._per_minute = per_minute
        self._free = octets
        self._connections, self._per_peer = connections, connections_per_peer
        self._spares_loopback = spares_loopback
        self._open: Counter[str] = Counter()
        # when each peer's minute will be whole again
        self._whole_at: dict[str, float] = {}

    def connect(self, peer: str) -> bool:
        if self._open.total() >= self._connections:
            return False
        if not self._is_spared(peer) and self._open[peer] >= self._per_peer:
            return False
        self._open[peer] += 1
        return True

    def disconnect(self, peer: str) -> None:
        self._open[peer] -= 1
        if self._open[peer] <= 0:
            del self._open[peer]

    def may_send(self, peer: str) -> bool:
        """Counts one message of `peer`."""
        if not self._per_minute or self._is_spared(peer):
            return True
        now = time.monotonic()
        whole_at = max(self._whole_at.get(peer, now), now) + 60 / self._per_minute
        if whole_at - now > 60:
            return False
        self._whole_at[peer] = whole_at
        if len(self._whole_at) > REMEMBERED:
            self._whole_at = {one: at for one, at in self._whole_at.items() if at > now}
        return True

    def take(self, octets: int) -> bool:
        if octets > self._free:
            return False
        self._free -= octets
        return True

    def give_back(self, octets: int) -> None:
        self._free += octets

    def _is_spared(self, peer: str) -> bool:
        try:
            return self._spares_loopback and ip_address(peer).is_loopback
        except ValueError:  # a socket in the file system
            return self._spares_loopback
