"""Grants: the ids that tokens carry, fresh or those of a record, and the tokens signed under them."""

from collections.abc import Awaitable, Callable

from ..settings.config import SessionConfig, TokenPolicy
from .mint import Draft, Grant, Issued, TokenMint

__all__ = ["Grants", "NewJti"]

NewJti = Callable[[Draft, TokenPolicy], Awaitable[str]]


class Grants:
    """Names the ids of tokens that a storage honours, and signs under them."""

    def __init__(self, config: SessionConfig, mint: TokenMint, new_jti: NewJti) -> None:
        self._access = config.access
        self._refresh = config.refresh
        self._rotate = config.rotate
        self._mint = mint
        self._new_jti = new_jti

    def sign(self, draft: Draft, grant: Grant) -> list[Issued]:
        """As `TokenMint.sign`."""
        return self._mint.sign(draft, grant)

    async def fresh(self, draft: Draft) -> Grant:
        """The ids of a session that begins."""
        return Grant(await self.access_jti(draft), await self.refresh_jti(draft))

    async def access_jti(self, draft: Draft) -> str | None:
        """A fresh id for an access token; None where the storage does not honour its ids."""
        return await self._new_jti(draft, self._access) if self._access.covered else None

    async def refresh_jti(self, draft: Draft) -> str | None:
        """The same for a refresh token."""
        refresh = self._refresh
        return await self._new_jti(draft, refresh) if refresh is not None and refresh.covered else None

    def rotates(self, draft: Draft) -> bool:
        """Whether the response carries a refresh token in the place of the one that came."""
        refresh = self._refresh
        return self._rotate and refresh is not None and refresh.covered and refresh in draft.policies
