from tests.conversation.models import chat_model, plain_model

__all__ = ["chat_model", "plain_model"]
