"""What the browser is given: one vendored script, no inline code, nothing from elsewhere."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import django_htmx
import pytest
from django.conf import settings
from django.test import Client

TEMPLATES = sorted((settings.BASE_DIR / "templates").rglob("*.html"))
SCRIPTS = sorted((settings.BASE_DIR / "static").rglob("*.js"))
HTMX = "71ea67185bfa8c98c39d31717c6fce5d852370fcdfd129db4543774d3145c0de"


def test_htmx_is_what_django_htmx_ships() -> None:
    ours = (settings.BASE_DIR / "static/vendor/htmx.min.js").read_bytes()
    shipped = Path(django_htmx.__file__).parent / "static/django_htmx/htmx-2.min.js"
    assert hashlib.sha256(ours).hexdigest() == HTMX
    assert ours == shipped.read_bytes()


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_template_has_no_inline_code_and_loads_nothing_from_elsewhere(template: Path) -> None:
    text = template.read_text()
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|https?://|hx-on|hx-vals=.js", text)
    assert not re.search(r"<script(?![^>]*\bsrc=)", text)
    assert text.count("\n") <= 150


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_evaluates_nothing(script: Path) -> None:
    if script.parent.name != "vendor":
        assert not re.search(r"\beval\(|new Function|https?://", script.read_text())


def test_the_policy_of_a_page_lets_only_our_own_in(rita: Client) -> None:
    policy = rita.get("/").headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("path", ["/nope", "/messages/em_nope", "/queue/nope", "/runs/nope", "/caught/nope"])
def test_what_is_not_there_gets_a_page_that_says_so(rita: Client, path: str) -> None:
    response = rita.get(path)
    assert response.status_code == 404
    assert "There is nothing here for you" in response.content.decode()
