"""The write limit per key, which holds between processes because one UPDATE keeps it."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.db import connection
from pytest_django import Settings

from approvals.api.throttle import spend
from approvals.errors import TooMany
from assistants.models import ApiKey
from mailboxes.models import Mailbox
from tests import factories
from tests.approvals.api.caller import Caller
from tests.processes import from_one_shot


@pytest.fixture(autouse=True)
def _strict(settings: Settings) -> None:
    settings.WRITE_LIMIT, settings.WRITE_BURST = 6, 3


def test_past_the_burst_a_write_is_429_and_says_when_to_come_back(agent: Caller, mailbox: Mailbox) -> None:
    codes = [agent.post("/v1/tag", {}).status_code for _ in range(3)]
    assert codes == [400, 400, 400]
    refused = agent.post(f"/v1/mailboxes/{mailbox.pk}/send", {})
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert 1 <= int(refused.headers["Retry-After"]) <= 10


def test_the_limit_is_the_keys_own(agent: Caller, mailbox: Mailbox) -> None:
    for _ in range(4):
        agent.post("/v1/tag", {})
    other = Caller(factories.a_key(factories.an_integration()))
    assert other.post("/v1/tag", {}).status_code == 400


def test_reading_is_not_limited_whatever_its_method(agent: Caller) -> None:
    for _ in range(5):
        assert agent.get("/v1/mailboxes").status_code == 200
        assert agent.post("/v1/inbox", {}).status_code == 200


def test_deciding_is_limited(overseer: Caller) -> None:
    codes = [overseer.post("/v1/oversight/decide", {}).status_code for _ in range(4)]
    assert codes == [400, 400, 400, 429]


def test_zero_turns_it_off(agent: Caller, settings: Settings) -> None:
    settings.WRITE_LIMIT = 0
    assert {agent.post("/v1/tag", {}).status_code for _ in range(10)} == {400}


def test_tokens_come_back_with_time(api_key: ApiKey) -> None:
    for _ in range(3):
        spend(api_key)
    ApiKey.objects.update(bucket_full_at=time.time() + 19)  # 11 seconds later, at ten seconds each
    spend(api_key)
    with pytest.raises(TooMany):
        spend(api_key)


def test_a_long_rest_fills_the_bucket_and_no_more(api_key: ApiKey) -> None:
    ApiKey.objects.update(bucket_full_at=time.time() - 86_400)
    for _ in range(3):
        spend(api_key)
    with pytest.raises(TooMany):
        spend(api_key)


@pytest.mark.database
def test_callers_at_once_never_get_more_than_the_burst(transactional_db: None, api_key: ApiKey) -> None:
    together = threading.Barrier(8)

    def rush(_: int) -> int:
        together.wait()
        granted = 0
        for _attempt in range(3):
            try:
                spend(api_key)
                granted += 1
            except TooMany:
                pass
        connection.close()
        return granted

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(rush, range(8))) == 3


# started by the test with the address of its database; begins when it is given a line
WORKER = """
import sys, django
django.setup()
from approvals.api.errors import TooMany
from approvals.api.throttle import spend
from assistants.models import ApiKey
key = ApiKey.objects.get()
print("ready", flush=True)
sys.stdin.readline()
granted = 0
for _ in range(20):
    try:
        spend(key)
        granted += 1
    except TooMany:
        pass
print(granted, flush=True)
"""


@pytest.mark.database
def test_processes_at_once_get_exactly_the_burst(
    transactional_db: None, api_key: ApiKey, settings: Settings, tmp_path: Path
) -> None:
    settings.WRITE_LIMIT = 1
    ApiKey.objects.update(bucket_full_at=time.time() - 86_400)
    # one token a minute, a hundred at once: what is left after eight processes is exactly the burst
    said = from_one_shot([WORKER] * 8, tmp_path, WRITE_LIMIT="1")
    assert sum(map(int, said)) == 100
