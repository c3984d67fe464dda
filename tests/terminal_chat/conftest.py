from tests.terminal_chat.models import chat_model, plain_model

__all__ = ["chat_model", "plain_model"]
