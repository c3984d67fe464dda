"""The server: OpenAI-compatible endpoints and a chat page in front of the inference engine.

| where | what |
|---|---|
| `http/` | the web application: routes, request models, middleware, API keys, quotas |
| `engine/` | the models being served: one engine in a thread per model, the request queue, admission |
| `conversations/` | the database of conversations, ratings and preferences; import, and export as training data |
| `moderation/` | the policy: prompts are judged, and answers held back until they are |
| `privacy/` | what is kept of users, and for how long: prompt log, scrubbed logs, retention, one key's data |
| `pages/` | the chat page: HTML, CSS and JavaScript modules, without a build step |
| `ray_serve.py` | a server as a deployment of Ray Serve, with replicas on the nodes of a cluster |
| `errors.py` | `ApiError`, an error with an HTTP status |
| `limits.py` | limits on requests: queue, sizes, timeouts |
| `metrics.py` | Prometheus metrics |

`http` imports all other folders, `privacy` imports `conversations`; all of them import the last three files.
"""
