"""The server: OpenAI-compatible endpoints and a chat page in front of the inference engine.

| where | what |
|---|---|
| `http/` | the web application: routes, request models, middleware, API keys, quotas |
| `engine/` | the models being served: one engine in a thread per model, the request queue, admission |
| `conversations/` | the database of conversations, ratings and preferences; import, and export as training data |
| `pages/` | the chat page: HTML, CSS and JavaScript modules, without a build step |
| `errors.py` | `ApiError`, the error that every part raises |
| `limits.py` | the bounds on requests |
| `metrics.py` | Prometheus metrics |

Imports run from `http` to `engine` and `conversations`, and from both to the three files.
"""
