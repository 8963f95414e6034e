"""What is bulk mail: whatever leaves a mailbox that says so, except answers to mail that came in."""

from __future__ import annotations

from approvals import links
from approvals.errors import Invalid
from mailboxes.envelope import Draft, normalize_address
from mailboxes.models import Email, Mailbox


def unsubscribe_link(mailbox: Mailbox, draft: Draft, answered: Email | None) -> str:
    """Where the one recipient says that it is enough; "" for what is no bulk mail.

    The link is its recipient's alone, and the text is the same for all: so there is one for each message.
    """
    if not mailbox.is_bulk or (answered is not None and answered.is_inbound):
        return ""
    chosen = (*draft.to, *draft.cc, *draft.bcc)
    if len(chosen) != 1:
        message = f"{mailbox.address} sends bulk mail, which goes to one recipient at a time."
        raise Invalid([{"field": "to", "code": "bulk_one_recipient", "message": message}])
    try:
        return links.unsubscribe_url(mailbox.pk, normalize_address(chosen[0]))
    except ValueError:
        return ""  # whoever freezes it says what is wrong with the address
