"""What every request passes through before it reaches a route.

`security.py` is the ASGI middleware. It calls the other files in this order: `trusted_host.py` (the Host header), `cors.py`
(the Origin header), `body.py` (bounds on the body); `response.py` is the way back to the client.
"""
