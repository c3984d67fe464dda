"""The middleware: every request passes through it before it reaches a route.

`security.py` is the ASGI middleware. It checks the size of the headers, then calls the other files in this order:
`trusted_host.py` (the Host header), `cors.py` (the Origin header), `lmcraft.server.http.keys` (the API key), `body.py`
(limits on the body). `response.py` sends the response.
"""
