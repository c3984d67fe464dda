"""The server: OpenAI's endpoints and a chat page over the engine of `inference/`."""
