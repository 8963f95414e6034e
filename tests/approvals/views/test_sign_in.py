"""Coming in: with a password, with a one-time link, and not at all."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from approvals import sign_in
from approvals.models import SignInLink, User
from audit.models import Event
from tests.factories import PASSWORD


def path_of(url: str) -> str:
    return url.removeprefix(settings.PUBLIC_URL)


def test_a_person_signs_in_with_email_and_password(client: Client, reviewer: User) -> None:
    response = client.post("/sign-in", {"username": " Rita@ACME.test ", "password": PASSWORD})
    assert response.headers["Location"] == "/"
    assert client.get("/").status_code == 200
    assert Event.objects.get(action=Event.Action.PERSON_SIGNED_IN).actor == reviewer.actor


def test_a_wrong_password_says_so_and_names_nobody(client: Client, reviewer: User) -> None:
    response = client.post("/sign-in", {"username": reviewer.email, "password": "guess"})
    assert "do not go together" in response.content.decode()
    assert client.get("/").status_code == 302


def test_after_five_wrong_passwords_the_right_one_must_wait(client: Client, reviewer: User) -> None:
    for _ in range(4):
        client.post("/sign-in", {"username": reviewer.email, "password": "guess"})
    fifth = client.post("/sign-in", {"username": reviewer.email, "password": "guess"})
    right = client.post("/sign-in", {"username": reviewer.email, "password": PASSWORD})
    assert fifth.status_code == right.status_code == 429
    assert "Too many tries" in right.content.decode()


def test_a_person_who_left_cannot_sign_in(client: Client, reviewer: User) -> None:
    User.objects.filter(pk=reviewer.pk).update(is_active=False)
    assert client.post("/sign-in", {"username": reviewer.email, "password": PASSWORD}).status_code == 200
    assert client.get("/").status_code == 302


def test_looking_at_a_link_spends_nothing_and_using_it_lets_in_once(client: Client, reviewer: User) -> None:
    path = path_of(sign_in.mint_link(reviewer))
    for _ in range(2):
        assert reviewer.email in client.get(path).content.decode()
    assert client.post(path).headers["Location"] == "/"
    assert client.get("/").status_code == 200
    other = Client()
    assert other.post(path).status_code == 410
    assert other.get("/").status_code == 302


@pytest.mark.parametrize("spoil", ["expired", "left", "forged"])
def test_a_link_that_is_no_good_lets_nobody_in(client: Client, reviewer: User, spoil: str) -> None:
    path = path_of(sign_in.mint_link(reviewer))
    if spoil == "expired":
        SignInLink.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    elif spoil == "left":
        User.objects.update(is_active=False)
    else:
        path = "/sign-in/link/forged"
    assert client.get(path).status_code == 410
    assert client.post(path).status_code == 410
    assert client.get("/").status_code == 302


def test_a_link_is_kept_only_as_a_hash(reviewer: User) -> None:
    token = sign_in.mint_link(reviewer).rpartition("/")[2]
    assert not SignInLink.objects.filter(hash=token).exists()


def test_signing_out_takes_a_post(rita: Client) -> None:
    assert rita.get("/sign-out").status_code == 405
    assert rita.post("/sign-out").status_code == 302
    assert rita.get("/").status_code == 302


def test_who_is_signed_out_while_deciding_comes_back_to_the_page_of_the_button(client: Client) -> None:
    path = "/messages/em_1/approve"
    there = "/sign-in?next=/queue/em_1%3Fmailbox%3Dmbx_1"
    page = "http://testserver/queue/em_1?mailbox=mbx_1"
    assert client.post(path, headers={"referer": page}).headers["Location"] == there
    asked = client.post(path, headers={"HX-Request": "true", "HX-Current-URL": page})
    assert asked.status_code == 200
    assert asked.headers["HX-Redirect"] == there
    assert client.post(path).headers["Location"] == "/sign-in?next=/"
    far = client.post(path, headers={"referer": "https://elsewhere.example/queue"})
    assert far.headers["Location"] == "/sign-in?next=/"
