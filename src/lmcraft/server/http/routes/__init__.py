"""The endpoints, one file per family, named after its path.

| file | endpoints |
|---|---|
| `chat.py`, `completions.py`, `responses.py` | OpenAI's endpoints that generate text |
| `stored_completions.py` | chat completions that a request asked to keep |
| `messages.py` | Anthropic's endpoint that generates text |
| `embeddings.py`, `classify.py`, `moderations.py`, `tokenize.py` | endpoints that only read text |
| `lens.py` | what each layer says about the next token |
| `models.py`, `status.py` | the served models; /api/info, health and metrics |
| `conversations.py` | /api/...: the chat page's conversations, ratings and preferences |
| `review.py`, `review_items.py` | /api/review/...: claims and verdicts; for adjudicators and owners |
| `review_guidelines.py`, `review_rounds.py` | /api/review/guidelines; /api/review/rounds: calibration |
| `reports.py` | /api/reports: what users report |
| `gateway.py` | the endpoints that forward to an upstream engine |
"""
