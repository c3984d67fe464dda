"""The web application.

| file | what |
|---|---|
| `app.py` | puts routes, pages, keys and middleware together |
| `server.py` | the listening socket and uvicorn |
| `connection.py` | HTTP/1.1 connections with timeouts |
| `middleware/` | checks of the Host and Origin headers, bounds on requests, security headers |
| `routes/`, `json_route.py` | the endpoints; strict parsing of their bodies |
| `protocol/` | the request bodies, as pydantic models |
| `request_builder.py` | turns a request body into sequences for the engine |
| `state.py` | the state that routes share, and one request's generation |
| `openai_format.py`, `tool_calls.py` | parts of OpenAI's response format; parsing tool calls |
| `chat_answer.py` | starts the answer to a chat, and divides it into thoughts, text and calls |
| `judged_prompts.py` | what of a request the policy judges, and the request without what it redacts |
| `shown_tokens.py` | which tokens are part of the text of an answer |
| `answer_blocks.py` | an answer as a sequence of thoughts, texts and calls |
| `response_object.py`, `message_object.py` | the objects and events of /v1/responses and /v1/messages |
| `kept_responses.py` | keeps the responses of requests that ask for it |
| `keys.py`, `quotas.py` | API keys and their roles; their quotas of requests and tokens per minute |
| `review_access.py`, `review_anchors.py` | who may call the review endpoints; anchors of their audit log |
| `backend.py`, `upstream.py` | where answers come from: the local models, or an engine at another address |
| `forwarded_stream.py` | a stream that a gateway passes on, its charge, and the error event if the engine stops |
| `pdf_text.py`, `pdf_process.py` | the text of a PDF file, read by a process of its own |
| `page_files.py` | serves the chat page and the review page: compressed, and cached by content |
| `error_handlers.py` | turns exceptions into error responses |
"""
