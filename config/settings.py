"""Every setting, read from the environment in this one place and documented in docs/operating.md."""

from __future__ import annotations

import os
import secrets
import sys
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dj_database_url
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from kombu import Queue

BASE_DIR = Path(__file__).resolve().parent.parent


def _flag(name: str) -> bool:
    return os.environ.get(name, "").strip().lower() in ("1", "true", "yes", "on")


def _networks(text: str) -> list[str]:
    try:
        return [str(ip_network(one.strip())) for one in text.split(",") if one.strip()]
    except ValueError as error:
        raise ImproperlyConfigured(f"WEBHOOK_NETWORKS: {error}") from None


def _secrets(text: str) -> dict[str, str]:
    """name=secret, separated by commas."""
    pairs = [one.strip().partition("=") for one in text.split(",") if one.strip()]
    if not all(name.strip() and secret for name, _, secret in pairs):
        raise ImproperlyConfigured("MAIL_HOOKS must look like mailgun=signing-key,postmark=user:password.")
    return {name.strip().lower(): secret.strip() for name, _, secret in pairs}


DEBUG = _flag("DEBUG")
DATA_DIR = Path(os.environ.get("DATA_DIR") or BASE_DIR / "data").absolute()
PUBLIC_URL = (os.environ.get("PUBLIC_URL") or "http://127.0.0.1:8000").rstrip("/")
# where our own driver reaches our own Assistants server; `up` sets it to its own port
INTERNAL_URL = (os.environ.get("INTERNAL_URL") or "http://127.0.0.1:8000").rstrip("/")
DATABASE_URL = os.environ.get("DATABASE_URL") or f"sqlite:///{DATA_DIR / 'counterseal.sqlite3'}"
BROKER_URL = os.environ.get("BROKER_URL") or "memory://localhost"
# smtp://[user:password@]host:port, or empty for the built-in catcher
EMAIL_URL = os.environ.get("EMAIL_URL", "")
# networks that webhooks may be posted to although they are not public, such as 127.0.0.0/8, 10.1.0.0/16
WEBHOOK_NETWORKS = _networks(os.environ.get("WEBHOOK_NETWORKS", ""))
# what a mail provider's posts are known by: its signing key, or user:password for those that do not sign
MAIL_HOOKS = _secrets(os.environ.get("MAIL_HOOKS", ""))
# who mail of our own comes from: codes for the oversight address
_host = urlsplit(PUBLIC_URL).hostname or ""
NOTICES_FROM = (
    os.environ.get("NOTICES_FROM") or f"counterseal@{_host if _host[-1:].isalpha() else 'localhost'}"
)
# names the leases of this process, so that its successor may free them; unique among running workers
WORKER_NAME = os.environ.get("WORKER_NAME", "")
# write calls a minute per API key; 0 turns the limit off
WRITE_LIMIT = int(os.environ.get("WRITE_LIMIT") or 600)
WRITE_BURST = 100
# seconds after which a run of our own Assistants server expires, e.g. 600 as at OpenAI; 0: never, so that
# it waits as long as its person takes
RUN_EXPIRES_AFTER = int(os.environ.get("RUN_EXPIRES_AFTER") or 0)
# the tools at /mcp: the 38 that the first clients know, or the newest set
MCP_TOOLS = os.environ.get("MCP_TOOLS") or "classic"
if MCP_TOOLS not in ("classic", "newest"):
    raise ImproperlyConfigured(f"MCP_TOOLS is classic or newest, not {MCP_TOOLS}.")
SWEEP_EVERY = 5.0  # seconds
# mail servers in front of this one whose SPF, DKIM and DMARC results are believed, by their authserv-ids
TRUSTED_AUTHSERV_IDS = [
    name.strip() for name in os.environ.get("TRUSTED_AUTHSERV_IDS", "").split(",") if name.strip()
]
# the receiving mail server: messages a minute from one peer, 0 for any number; and for STARTTLS a PEM file
# with the chain, and after a comma that of its key if it is another
SMTP_PEER_RATE = int(os.environ.get("SMTP_PEER_RATE") or 600)
SMTP_CERTIFICATE = os.environ.get("SMTP_CERTIFICATE", "")
MAX_MESSAGE_BYTES = int(os.environ.get("MAX_MESSAGE_BYTES") or 26_214_400)

_public = urlsplit(PUBLIC_URL)
IS_LOOPBACK = _public.hostname in ("127.0.0.1", "localhost", "::1")
ALLOWED_HOSTS = [host for host in os.environ.get("ALLOWED_HOSTS", "").split(",") if host]


def _secret_key() -> str:
    """A key of our own making under DATA_DIR, for an install that nobody else can reach."""
    path = DATA_DIR / "secret_key"
    DATA_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(50))
    except FileExistsError:
        pass
    return path.read_text().strip()


SECRET_KEY = os.environ.get("SECRET_KEY", "")
if not IS_LOOPBACK:
    if not SECRET_KEY or not ALLOWED_HOSTS or _public.scheme != "https":
        raise ImproperlyConfigured(
            "PUBLIC_URL is not loopback, which makes this production: "
            "set SECRET_KEY and ALLOWED_HOSTS, and use https in PUBLIC_URL."
        )
else:
    SECRET_KEY = SECRET_KEY or _secret_key()
    ALLOWED_HOSTS = ALLOWED_HOSTS or ["127.0.0.1", "localhost", "[::1]"]

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "django.contrib.staticfiles",
    "axes",
    "csp",
    "django_htmx",
    "template_partials",
    "rest_framework",
    "drf_spectacular",
    "audit",
    "mailboxes",
    "assistants",
    "assistants.server",
    "approvals",
    "config",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django_permissions_policy.PermissionsPolicyMiddleware",
    "csp.middleware.CSPMiddleware",
    "approvals.views.no_nul.no_nul",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "approvals.views.sign_in_first.SignInFirst",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
WSGI_APPLICATION = "config.wsgi.application"

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]

DATABASES: dict[str, Any] = {"default": dj_database_url.parse(DATABASE_URL, conn_max_age=0)}
_database = DATABASES["default"]
if _database["ENGINE"] == "django.db.backends.sqlite3":
    DATA_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
    _database["ENGINE"] = "config.sqlite"
    _database["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        # what a connection keeps compiled: with fewer, hardly one is there when it is asked for again
        "cached_statements": 400,
        "init_command": "PRAGMA journal_mode=WAL;PRAGMA synchronous=FULL;PRAGMA foreign_keys=ON;",
    }
else:
    # each process has as many at most; a thread that finds none free waits for one
    _database["OPTIONS"] = {"pool": {"min_size": 1, "max_size": 26}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "approvals.User"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "sign_in"
LOGIN_REDIRECT_URL = "queue"
LOGOUT_REDIRECT_URL = "sign_in"
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_USERNAME_FORM_FIELD = "username"
AXES_LOCKOUT_TEMPLATE = "locked.html"
AXES_VERBOSE = False

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["approvals.api.authentication.KeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["approvals.api.authentication.HasScope"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "approvals.api.negotiation.AlwaysJson",
    "DEFAULT_PARSER_CLASSES": ["approvals.api.parsers.ObjectParser"],
    "DEFAULT_THROTTLE_CLASSES": ["approvals.api.throttle.WriteLimit"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "approvals.api.errors.exception_handler",
    "UNAUTHENTICATED_USER": None,
    # `format` is an argument of /v1/tools
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Counterseal",
    "DESCRIPTION": "Mail for assistants, with a person between the draft and the recipient.",
    "VERSION": "1.0",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/v1",
    # one name for the choices that several bodies hold
    "ENUM_NAME_OVERRIDES": {
        "OversightMode": "mailboxes.models.OversightMode.values",
        "GateTiming": "mailboxes.models.GateTiming.values",
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "approvals.api.schema.complete",
    ],
}

CELERY_BROKER_URL = BROKER_URL
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_ENABLE_REMOTE_CONTROL = CELERY_BEAT_ENABLE_REMOTE_CONTROL = False
# queues of their own, so that slow models and run servers get workers of their own (docs/operating.md)
CELERY_TASK_DEFAULT_QUEUE = "work"
CELERY_TASK_QUEUES = [Queue(name) for name in ("work", "mail", "inbound", "models", "webhooks")]
CELERY_TASK_ROUTES = {
    "approvals.tasks.deliver": {"queue": "mail"},
    "approvals.tasks.receive": {"queue": "inbound"},
    "approvals.tasks.post": {"queue": "webhooks"},
    "approvals.tasks.drive": {"queue": "models"},
    "approvals.tasks.sync_runs": {"queue": "models"},
    "assistants.server.tasks.advance_runs": {"queue": "models"},
}
# what a nudge makes prompt, the sweep makes certain; a sweep that nobody took in time is stale
CELERY_BEAT_SCHEDULE = {
    name: {"task": task, "schedule": SWEEP_EVERY, "options": {"expires": SWEEP_EVERY}}
    for name, task in (
        ("sweep", "approvals.tasks.sweep"),
        ("advance runs", "assistants.server.tasks.advance_runs"),
        ("tidy runs", "assistants.server.tasks.tidy"),
    )
} | {name: {"task": f"approvals.tasks.{name}", "schedule": 3600} for name in ("forget", "check_domains")}

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
# served straight from where they lie (config/static.py); there is no collectstatic
WHITENOISE_USE_FINDERS = True
WHITENOISE_ALLOW_ALL_ORIGINS = False

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not IS_LOOPBACK
SECURE_SSL_REDIRECT = not IS_LOOPBACK
SECURE_HSTS_SECONDS = 0 if IS_LOOPBACK else 31_536_000
SECURE_PROXY_SSL_HEADER = None if IS_LOOPBACK else ("HTTP_X_FORWARDED_PROTO", "https")
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]
CSRF_FAILURE_VIEW = "approvals.views.too_old.too_old"
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "SAMEORIGIN"
# W005, W021: other hosts of the domain are not ours to speak for. W019: a page frames the mail it shows
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W019", "security.W021"]
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "connect-src": [SELF],
        "frame-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [SELF],
        "base-uri": [NONE],
    }
}
PERMISSIONS_POLICY: dict[str, list[str]] = {"camera": [], "geolocation": [], "microphone": []}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "stream": sys.stderr, "formatter": "plain"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {"counterseal": {"level": "INFO"}},
}
