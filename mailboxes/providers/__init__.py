"""Mail providers whose API takes a message as it stands, and the envelope beside it.

One module each: `post()` builds the request for one message, `taken()` reads the answer to it. None may
rebuild the MIME: what a person approved is what leaves.
"""

from __future__ import annotations

from mailboxes.providers import mailgun, postal, ses, sparkpost
from mailboxes.providers.shape import Account, Post, Provider, Refused, Unclear

PROVIDERS: dict[str, Provider] = {
    "mailgun": mailgun,
    "postal": postal,
    "ses": ses,
    "sparkpost": sparkpost,
}

__all__ = ["PROVIDERS", "Account", "Post", "Provider", "Refused", "Unclear"]
