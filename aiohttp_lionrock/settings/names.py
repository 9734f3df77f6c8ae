"""Names that a token needs for itself, so that no session data can have them."""

__all__ = ["CLAIMS", "OWN_FIELDS", "RESERVED", "TERM"]

CLAIMS = frozenset({"aud", "exp", "iat", "iss", "jti", "nbf", "token_use"})
TERM = "lionrock"  # how long this one login lasts, where its handler said so
OWN_FIELDS = frozenset({"id", "sid", "creator", "orig_iat", "auth_time", TERM})
RESERVED = CLAIMS | OWN_FIELDS
