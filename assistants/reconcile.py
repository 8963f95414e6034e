"""What became of an output that we hold, judged by what the far side shows. PURE."""

from __future__ import annotations

import json
from typing import Any

from assistants.models import Run, ToolCall
from assistants.observe import Snapshot

Settled = ToolCall.Settled


def judge(call: ToolCall, seen: Snapshot, *, tried: bool) -> Settled | None:
    """None: it was not received, hand it over. `tried`: a submit of it may have been heard.

    1. Its output is shown: ours, or somebody else's.
    2. The run waits for the call: not received.
    3. The run has ended without it: it can't be told any more.
    4. The run has gone on, and shows nothing of the call: with our output if we tried, else without us.
    """
    shown = seen.outputs.get(call.call_id)
    if shown is not None:
        return Settled.CONFIRMED if same(shown, call.output or "") else Settled.ELSEWHERE
    if call.call_id in seen.asked:
        return None
    if seen.status in Run.CUT_OFF:
        return Settled.GONE
    return Settled.UNVERIFIED if tried else Settled.ELSEWHERE


def same(one: str, other: str) -> bool:
    """As text or as JSON: a server may have written it anew."""
    return one == other or (_loaded(one), True) == (_loaded(other), True) != (None, True)


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
