from django.apps import AppConfig


class ServerConfig(AppConfig):
    name = "assistants.server"
    label = "assistants_server"
