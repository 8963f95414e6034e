import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

_django = get_asgi_application()

from config.static import StaticFiles  # noqa: E402 - Django must be set up first

application = StaticFiles(_django)
