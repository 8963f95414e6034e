"""Where mail leaves, as one URL says it: EMAIL_URL for all, or one of a mailbox's own."""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from mailboxes.providers import PROVIDERS, Account
from mailboxes.smtp import Server

Route = Server | Account


def parse(url: str) -> Route:
    """smtp://…, smtps://…, or the name of a provider. Raises ImproperlyConfigured with a sentence."""
    scheme = url.strip().partition(":")[0].lower()
    return _account(url, scheme) if scheme in PROVIDERS else Server.from_url(url)


def _account(url: str, scheme: str) -> Account:
    provider = PROVIDERS[scheme]
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname or "", parts.port
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
    except ValueError:
        host, port, query = "", None, {}
    plain = query.pop("tls", "required") == "none"
    secret = unquote(parts.password or "") if host else ""
    account = Account(
        scheme,
        f"{'http' if plain else 'https'}://{host}" + (f":{port}" if port else ""),
        unquote(parts.username or "") if host else "",
        secret,
        parts.path.strip("/") if host else "",
    )
    is_printable = (account.user + secret).isascii() and (account.user + secret).isprintable()
    if not host or port == 0 or query or not is_printable or provider.lacks(account):
        raise ImproperlyConfigured(f"It must look like {provider.WANTS}.")
    return account


def shown(url: str) -> str:
    """For people and the log: without what signs in."""
    if not url:
        return ""
    route = parse(url)
    if isinstance(route, Account):
        host = route.base.partition("://")[2]
        return f"{route.provider}, {host}" + (f"/{route.path}" if route.path else "")
    security = {"required": "STARTTLS required", "starttls": "STARTTLS when offered", "none": "no TLS"}
    how = "TLS" if route.is_implicit_tls else security[route.tls]
    who = f" as {route.user}" if route.user else ""
    return f"SMTP, {route.host}:{route.port}{who} ({how})"
