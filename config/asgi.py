import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

get_asgi_application()  # sets Django up

from config.handler import Handler  # noqa: E402 - Django must be set up first
from config.static import StaticFiles  # noqa: E402

application = StaticFiles(Handler())
