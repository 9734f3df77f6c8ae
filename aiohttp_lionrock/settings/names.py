"""Names that a token needs for itself, so that no session data can have them."""

__all__ = ["CLAIMS", "OWN_FIELDS", "RESERVED"]

CLAIMS = frozenset({"aud", "exp", "iat", "iss", "jti", "nbf", "token_use"})
OWN_FIELDS = frozenset({"id", "sid", "creator", "orig_iat"})
RESERVED = CLAIMS | OWN_FIELDS
