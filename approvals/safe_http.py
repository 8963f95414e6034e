"""POST to an address that somebody else named: looked up once, vetted, and connected to as vetted."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import httpx
from django.conf import settings

from mailboxes.deadlines import watch

MOST_KEPT = 1000  # bytes of an answer

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# all that is routed of IPv6; what lies outside leads inside, by one translation or another
ROUTED = ipaddress.IPv6Network("2000::/3")
# what `is_global` lets through and yet stands for an IPv4 address, or for none
SPECIAL = tuple(
    map(
        ipaddress.ip_network,
        ("2002::/16", "2001::/32", "3fff::/20", "192.0.0.0/24", "192.88.99.0/24"),
    )
)


class Forbidden(Exception):
    """The address is one that nothing is sent to. The text says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: str


def check_url(url: str) -> None:
    """Raises Forbidden for what can be told without looking the host up."""
    try:
        parts, read = urlsplit(url), httpx.URL(url)
        host, port = parts.hostname, parts.port
    # the last is the one that says so of a host that has no form in ASCII
    except (ValueError, httpx.InvalidURL):
        raise Forbidden("This is not a web address.") from None
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise Forbidden("This is not a web address that begins with https://.")
    if parts.username is not None or parts.password is not None or read.userinfo:
        raise Forbidden("A user and password don't belong into this address.")
    if any(character.isspace() or not character.isprintable() for character in url):
        raise Forbidden("This is not a web address.")


def post(url: str, body: bytes, headers: dict[str, str], *, timeout: float) -> Answer:
    """Raises Forbidden, or httpx.HTTPError. No redirect is followed: it would be another address."""
    check_url(url)
    # read by one reader from here on: two could differ about the host
    asked = httpx.URL(url)
    host, port = asked.raw_host.decode(), asked.port or (443 if asked.scheme == "https" else 80)
    address = _vetted(host, port, asked.scheme)
    target = asked.copy_with(host=str(address))
    # the name is checked against the certificate, though we connect to the address
    line = _Line()
    extensions = {"sni_hostname": host, "trace": line.note}
    with (
        httpx.Client(timeout=timeout, verify=_certificates(), trust_env=False) as client,
        # the client's own timeout begins anew with every byte that drips in
        watch.within(2 * timeout, line.cut),
    ):
        named = {**headers, "Host": asked.netloc.decode()}
        request = client.build_request("POST", target, content=body, headers=named, extensions=extensions)
        response = client.send(request, stream=True)
        try:
            return Answer(response.status_code, _beginning(response))
        finally:
            response.close()


class _Line:
    """The connection of one exchange, to be cut when it takes too long."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None

    def note(self, event: str, info: dict[str, Any]) -> None:
        if event == "connection.connect_tcp.complete":
            self._socket = info["return_value"].get_extra_info("socket")

    def cut(self) -> None:
        if self._socket is not None:
            with suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


@lru_cache
def _certificates() -> ssl.SSLContext:
    """Read once: it takes longer than a post."""
    return httpx.create_ssl_context(trust_env=False)


def _beginning(response: httpx.Response) -> str:
    """What fits into the log. A receiver that does not end its answer has answered all the same."""
    read = b""
    with suppress(httpx.HTTPError):
        for chunk in response.iter_raw():
            read += chunk
            if len(read) >= MOST_KEPT:
                break
    return read[:MOST_KEPT].decode("utf-8", "replace").replace("\0", "")


def _vetted(host: str, port: int, scheme: str) -> Address:
    """The one address to connect to. One that is forbidden forbids the host, whatever else it has."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpx.ConnectError(f"{host} was not found: {error}") from error
    addresses = [ipaddress.ip_address(str(one[4][0]).partition("%")[0]) for one in found]
    for address in addresses:
        if _is_allowed(address):
            continue
        if not _is_public(address):
            raise Forbidden(f"{host} is {address}, which is not a public address.")
        if scheme != "https":
            raise Forbidden("A public address is posted to by https only.")
    return addresses[0]


def _is_public(address: Address) -> bool:
    special = any(address in network for network in SPECIAL if network.version == address.version)
    routed = address.version == 4 or address in ROUTED
    return routed and address.is_global and not (address.is_multicast or special)


def _is_allowed(address: Address) -> bool:
    networks = map(ipaddress.ip_network, settings.WEBHOOK_NETWORKS)
    return any(address in network for network in networks if network.version == address.version)
