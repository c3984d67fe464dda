"""The web application.

| file | what |
|---|---|
| `app.py` | puts routes, pages, keys and middleware together |
| `server.py` | the listening socket and uvicorn |
| `connection.py` | HTTP/1.1 connections with time limits |
| `middleware/` | checks of the Host and Origin headers, bounds on requests, security headers |
| `routes/` | the endpoints |
| `protocol/` | the request bodies, as pydantic models |
| `request_builder.py` | from a request body to sequences that the engine can generate |
| `state.py` | the server's parts as routes see them, and one request's generation |
| `openai_format.py`, `tool_calls.py` | pieces of OpenAI's response format; tool calls parsed from text |
| `keys.py`, `quotas.py` | API keys; requests and tokens per minute |
| `backend.py`, `upstream.py` | where answers come from: the local models, or an engine at another address |
| `error_handlers.py` | exceptions to error responses |
"""
