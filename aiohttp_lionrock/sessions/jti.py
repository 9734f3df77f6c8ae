"""Who honours the ids of tokens: nobody (`Stateless`), the application (`CallbackJti`), or a storage (`records`).

The manager asks an authority twice for each request: `judge` for a token that came in, `issue` for the
tokens that go out.
"""

import asyncio
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

from ..errors import ConfigError, LionRockError, StorageUnavailable, TokenClaimError, TokenRevoked
from ..jsontext import is_storable_text
from ..log import logger
from ..settings.config import JtiConfig, JtiEvent, SessionConfig, TokenPolicy
from ..tokens.codec import MAX_ID
from .mint import Grant, Issued, Origin, Write
from .session import Session

__all__ = ["CallbackJti", "JtiAuthority", "Stateless", "new_jti", "presented_jti"]


_NO_IDS = Grant()


class JtiAuthority(ABC):
    """Judges the ids of tokens that come in, and names those of tokens that go out."""

    def __init__(self, config: SessionConfig) -> None:
        self._config = config

    @abstractmethod
    async def judge(
        self, session: Session, claims: Mapping[str, Any], policy: TokenPolicy, origin: Origin, now: int
    ) -> None:
        """Raises a TokenError where the token's id is not honoured, StorageUnavailable where nobody can tell."""

    @abstractmethod
    async def issue(self, write: Write) -> list[Issued]:
        """Signed tokens, recorded. Raises TokenRevoked where the session was ended meanwhile."""

    async def end(self, sid: str) -> bool:
        """Revokes a session; True for the one caller that did."""
        return False

    async def end_subject(self, subject: str, keep: str | None) -> int:
        """Revokes every session of a subject but the sid ``keep``; returns how many."""
        return 0

    def open(self) -> None:
        """Makes ready for use, again after `aclose` too."""

    async def aclose(self) -> None:
        """Gives back what the authority holds."""


class Stateless(JtiAuthority):
    """No ids at all: a token is good until it expires."""

    async def judge(
        self, session: Session, claims: Mapping[str, Any], policy: TokenPolicy, origin: Origin, now: int
    ) -> None:
        return

    async def issue(self, write: Write) -> list[Issued]:
        return write.sign(_NO_IDS)


class CallbackJti(JtiAuthority):
    """The application's own callbacks, one fresh id for each token."""

    def __init__(self, config: SessionConfig, jti: JtiConfig) -> None:
        super().__init__(config)
        self._jti = jti

    async def judge(
        self, session: Session, claims: Mapping[str, Any], policy: TokenPolicy, origin: Origin, now: int
    ) -> None:
        if not policy.covered:
            return
        jti = presented_jti(claims, require=self._jti.require)
        if jti is None or self._jti.verify is None:
            return
        event = JtiEvent(jti, session, policy.use, int(claims["exp"]), dict(claims), self._config, origin.env)
        honoured = await call_back("verify", self._jti.verify, event)
        if not isinstance(honoured, bool):
            logger.error("jti.verify returned %s, not a bool: the token is refused", type(honoured).__name__)
        if honoured is not True:
            raise TokenRevoked("jti is invalid or revoked")

    async def issue(self, write: Write) -> list[Issued]:
        ids = {
            policy.use: await new_jti(self._config, self._jti, policy, write)
            for policy in write.policies
            if policy.covered
        }
        issued = write.sign(Grant(ids.get("access"), ids.get("refresh")))
        for token in issued:
            if self._jti.persist is not None and token.policy.covered:
                event = _event(self._config, token.policy, write, token.claims)
                await call_back("persist", self._jti.persist, event)
        return issued


def presented_jti(claims: Mapping[str, Any], *, require: bool) -> str | None:
    """The jti of a covered token; None where it has none and none is required. Raises TokenClaimError."""
    jti = claims.get("jti")
    if isinstance(jti, str) and 0 < len(jti) <= MAX_ID:
        return jti
    if jti in (None, "") and not require:
        return None
    raise TokenClaimError("token has no jti" if jti in (None, "") else "token jti is no text of a sensible length")


async def new_jti(config: SessionConfig, jti: JtiConfig, policy: TokenPolicy, write: Write) -> str:
    """A fresh id: a UUID, or what ``jti.generate`` makes. Raises ConfigError where that is no usable text."""
    if jti.generate is None:
        return str(uuid4())
    made = await call_back("generate", jti.generate, _event(config, policy, write, write.claims(policy, Grant())))
    if not is_storable_text(made) or not 0 < len(made) <= MAX_ID:
        raise ConfigError(f"jti.generate must return text of 1 to {MAX_ID} characters, it returned {made!r:.60}")
    return str(made)


def _event(config: SessionConfig, policy: TokenPolicy, write: Write, claims: Mapping[str, Any]) -> JtiEvent:
    return JtiEvent(claims.get("jti"), write.session, policy.use, claims["exp"], dict(claims), config, write.origin.env)


async def call_back(name: str, callback: Callable[[JtiEvent], Any], event: JtiEvent) -> Any:
    """Runs a callback, plain or async, within ``storage_timeout``. An error means that its store cannot answer."""
    try:
        answer = callback(event)
        if not inspect.isawaitable(answer):
            return answer
        async with asyncio.timeout(event.config.storage_timeout):
            return await answer
    except LionRockError:
        raise
    except Exception as exc:
        logger.exception("jti.%s failed", name)
        raise StorageUnavailable(f"jti.{name} failed") from exc
