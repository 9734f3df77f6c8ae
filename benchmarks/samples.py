"""One session as an application has it, the same for every peer: a token of about 390 bytes."""

import time
from typing import Any

__all__ = ["DATA", "OTHER_COOKIES", "SECRET", "token_claims"]

SECRET = "0123456789abcdefghijklmnopqrstuv"
DATA = {"user": "ada", "sub": "ada", "theme": "dark", "cart": 7, "note": "red-blue"}

# What stands beside a session in the Cookie header of a usual site.
OTHER_COOKIES = "_ga=GA1.2.1234567890.1600000000; theme=dark; csrftoken=abcdefghijklmnopqrstuvwxyz0123456789"


def token_claims() -> dict[str, Any]:
    """The claims of a fresh token as the library writes them."""
    now = int(time.time())
    ids = {"id": "1" * 36, "sid": "2" * 36, "creator": "SessionJWT"}
    return {**ids, **DATA, "iat": now, "nbf": now, "exp": now + 7200}
