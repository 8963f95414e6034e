"""Files that must agree with each other do."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


def read(name: str) -> str:
    return (ROOT / name).read_text()


def settings_read() -> set[str]:
    """Every name that settings.py asks the environment for, directly or through `_flag`."""
    names = set()
    for node in ast.walk(ast.parse(read("config/settings.py"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("os.environ.get", "os.getenv", "_flag"):
            names.add(ast.literal_eval(node.args[0]) if isinstance(node.args[0], ast.Constant) else "")
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "os.environ":
            names.add(ast.literal_eval(node.slice))
    return names - {""}


def test_settings_are_read_in_one_place() -> None:
    readers = {
        str(path.relative_to(ROOT))
        for app in ("approvals", "assistants", "audit", "mailboxes")
        for path in (ROOT / app).rglob("*.py")
        if re.search(r"\bos\.(environ|getenv)\b", path.read_text())
    }
    assert readers == set()


def test_every_setting_is_in_the_example_and_in_the_manual() -> None:
    example = set(re.findall(r"^#?([A-Z_]+)=", read(".env.example"), re.MULTILINE))
    manual = set(re.findall(r"^\| `([A-Z_]+)` \|", read("docs/operating.md"), re.MULTILINE))
    assert example == settings_read()
    assert manual == settings_read()


def test_the_version_is_the_changelogs() -> None:
    newest = re.findall(r"^## (\S+)", read("CHANGELOG.md"), re.MULTILINE)[0]
    assert tomllib.loads(read("pyproject.toml"))["project"]["version"] == newest


def test_the_readme_is_short() -> None:
    assert len(read("README.md").splitlines()) <= 80


@pytest.mark.parametrize(
    "document",
    ["README.md", "CONTRIBUTING.md", *(str(p.relative_to(ROOT)) for p in sorted(ROOT.glob("docs/**/*.md")))],
)
def test_links_between_pages_lead_somewhere(document: str) -> None:
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", read(document))
    assert [target for target in targets if not ((ROOT / document).parent / target).exists()] == []


@pytest.mark.parametrize(
    "document", ["CONTRIBUTING.md", "docs/architecture.md", "docs/security.md", "docs/operating.md"]
)
def test_files_that_the_docs_name_exist(document: str) -> None:
    named = re.findall(
        r"`((?:approvals|assistants|audit|config|mailboxes|tests|requirements)/[\w/.*]+)`", read(document)
    )
    assert [name for name in named if not any(ROOT.glob(name.rstrip("/")))] == []


def locked(lock: Path) -> dict[str, list[Version]]:
    found: dict[str, list[Version]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", lock.read_text(), re.MULTILINE):
        found.setdefault(normal(name), []).append(Version(version))
    return found


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def wanted(source: Path) -> list[Requirement]:
    lines = [line.split("#")[0].strip() for line in source.read_text().splitlines()]
    return [Requirement(line) for line in lines if line and not line.startswith("-")]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_names_no_address(lock: Path) -> None:
    assert "://" not in lock.read_text()


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_entry_of_a_lock_has_a_hash(lock: Path) -> None:
    entries = lock.read_text().replace("\\\n", " ").splitlines()
    assert [entry for entry in entries if entry.strip() and "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_satisfies_what_is_asked_for(lock: Path) -> None:
    versions = locked(lock)
    assert {normal(r.name) for r in wanted(lock.with_suffix(".in"))} <= versions.keys()
    wrong = [
        str(r)
        for r in wanted(lock.with_suffix(".in"))
        if not any(map(r.specifier.contains, versions[normal(r.name)]))
    ]
    assert wrong == []


def test_the_locks_agree() -> None:
    base, dev = locked(ROOT / "requirements/base.txt"), locked(ROOT / "requirements/dev.txt")
    assert {name: versions for name, versions in base.items() if dev.get(name) != versions} == {}
