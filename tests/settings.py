"""The project's settings on a temporary DATA_DIR, so that no test ever touches ./data."""

import atexit
import os
import shutil
import tempfile

_data = tempfile.mkdtemp(prefix="counterseal-test-")
atexit.register(shutil.rmtree, _data, ignore_errors=True)

for _name in (
    "BROKER_URL",
    "EMAIL_URL",
    "PUBLIC_URL",
    "INTERNAL_URL",
    "DEBUG",
    "ALLOWED_HOSTS",
    "WRITE_LIMIT",
    "RUN_EXPIRES_AFTER",
    "MCP_TOOLS",
):
    os.environ.pop(_name, None)
os.environ["DATA_DIR"] = _data
os.environ["DATABASE_URL"] = os.environ.get("TEST_DATABASE_URL", "")
os.environ["SECRET_KEY"] = "only for tests"

from config.settings import *  # noqa: E402

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

_database = DATABASES["default"]
IS_SQLITE = _database["ENGINE"] == "config.sqlite"
if IS_SQLITE:
    # a file, not memory: threads and the live server share it
    _database["TEST"] = {"NAME": f"{_data}/test.sqlite3"}
    # an fsync per commit guards against power loss, which no test can show
    _database["OPTIONS"]["init_command"] = (
        "PRAGMA journal_mode=WAL;PRAGMA synchronous=OFF;PRAGMA foreign_keys=ON;"
    )

# templates are measured for coverage, which needs their line numbers
TEMPLATES[0]["OPTIONS"]["debug"] = True
