"""Any Chat Completions endpoint as the model behind a run."""

from assistants.server.chat.ask import answer

__all__ = ["answer"]
