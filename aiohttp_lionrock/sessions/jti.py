"""Who honours the ids of tokens: nobody (`Stateless`), the application (`CallbackJti`), or a storage (`RecordJti`).

The manager asks an authority twice for each request: `judge` for a token that came in, `issue` for the
tokens that go out.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import uuid4

from ..errors import ConfigError, LionRockError, StorageUnavailable, TokenRevoked, TokenSuperseded
from ..log import logger
from ..settings.config import JtiConfig, JtiEvent, SessionConfig, TokenPolicy
from ..storage.contract import JtiRecord
from ..tokens.codec import MAX_ID, is_id
from .contents import Contents
from .data import copied
from .events import Why
from .life import Plan, Presented
from .link import Deadline
from .mint import Draft, Grant, Issued, TokenMint
from .session import Session, session_of
from .state import Life
from .verdicts import presented_jti

__all__ = ["CallbackJti", "Candidate", "JtiAuthority", "Stateless", "Verdict", "jti_maker"]

_NO_IDS = Grant()


class Candidate(NamedTuple):
    """A validly signed token that may come to be the request's session."""

    contents: Contents
    policy: TokenPolicy
    presented: Presented  # what the request has brought so far: its keys, its environment
    now: int
    came: int  # when the request did: before now where its body took its time

    def session(self) -> Session:
        """The session as callbacks see it."""
        return session_of(Life(None, self.contents))


class Verdict(NamedTuple):
    """What was found out about a token: its session's record, and the refresh id that it brought.

    ``superseded``: the token is not honoured, because the session goes on in newer tokens.
    """

    record: JtiRecord | None = None
    jti: str | None = None
    superseded: TokenSuperseded | None = None


_HONOURED = Verdict()


class JtiAuthority(ABC):
    """Judges the ids of tokens that come in, and names those of tokens that go out."""

    @abstractmethod
    async def judge(self, candidate: Candidate) -> Verdict:
        """Raises a TokenError where the token's id is not honoured, StorageUnavailable where nobody can tell."""

    @abstractmethod
    async def issue(self, draft: Draft, plan: Plan) -> list[Issued]:
        """Signed tokens, recorded. Raises TokenRevoked where the session was ended meanwhile."""

    def take_back(self, draft: Draft, *, ends: bool) -> None:
        """Undoes what `issue` has begun or moved for a client that has gone away, in the background.

        ``ends``: what it took over from stays ended.
        """

    async def end(self, sid: str, why: Why, known: JtiRecord | None = None) -> bool:
        """Ends a session, and what it goes on as; True for the one caller that ended something alive.

        ``known`` is its record, where that was read before.
        """
        return False

    async def end_refused(self, sid: str, signers: Sequence[str]) -> None:
        """Ends the session of a refused token, where one of these signed it: its refresh token may still be good."""

    async def end_subject(self, subject: str, keep: str | None) -> int:
        """Ends every session of a subject but the sid ``keep``; returns how many."""
        return 0

    async def end_all(self, signers: Sequence[str] | None, before: int | None) -> int:
        """Ends every session, or each of these signers, that began up to a time; returns up to when they are over."""
        return 0

    def open(self) -> None:
        """Makes ready for use, again after `aclose` too."""

    async def aclose(self) -> None:
        """Gives back what the authority holds."""


class Stateless(JtiAuthority):
    """No ids at all: a token is good until it expires."""

    def __init__(self, mint: TokenMint) -> None:
        self._mint = mint

    async def judge(self, candidate: Candidate) -> Verdict:
        return _HONOURED

    async def issue(self, draft: Draft, plan: Plan) -> list[Issued]:
        return self._mint.sign(draft, _NO_IDS)


class CallbackJti(JtiAuthority):
    """The application's own callbacks, one fresh id for each token."""

    def __init__(self, config: SessionConfig, jti: JtiConfig, mint: TokenMint, deadline: Deadline) -> None:
        self._config = config
        self._jti = jti
        self._mint = mint
        self._deadline = deadline
        self._new_jti = jti_maker(config, jti, mint)

    async def judge(self, candidate: Candidate) -> Verdict:
        contents, policy, presented, *_ = candidate
        if not policy.covered:
            return _HONOURED
        jti = presented_jti(contents.claims, require=self._jti.require)
        if jti is None or self._jti.verify is None:
            return _HONOURED
        payload = copied(contents.claims)
        event = JtiEvent(
            jti, candidate.session(), policy.use, contents.expires_at, payload, self._config, presented.env
        )
        honoured = await call_back("verify", self._jti.verify, event)
        if not isinstance(honoured, bool):
            logger.error("jti.verify returned %s, not a bool: the token is refused", type(honoured).__name__)
        if honoured is not True:
            raise TokenRevoked("jti is invalid or revoked")
        return _HONOURED

    async def issue(self, draft: Draft, plan: Plan) -> list[Issued]:
        return await self._deadline(self._issue, draft)

    async def _issue(self, draft: Draft) -> list[Issued]:
        ids = {policy.use: await self._new_jti(draft, policy) for policy in draft.policies if policy.covered}
        issued = self._mint.sign(draft, Grant(ids.get("access"), ids.get("refresh")))
        for token in issued:
            if self._jti.persist is not None and token.policy.covered:
                await call_back("persist", self._jti.persist, _event(self._config, draft, token.policy, token.claims))
        return issued


def jti_maker(config: SessionConfig, jti: JtiConfig, mint: TokenMint) -> Callable[[Draft, TokenPolicy], Awaitable[str]]:
    """What makes a fresh id: a UUID, or ``jti.generate``. It raises ConfigError where that gives no usable text."""

    async def new_jti(draft: Draft, policy: TokenPolicy) -> str:
        if jti.generate is None:
            return str(uuid4())
        event = _event(config, draft, policy, mint.claims(draft, policy, _NO_IDS))
        made = await call_back("generate", jti.generate, event)
        if not is_id(made):
            raise ConfigError(f"jti.generate must return text of 1 to {MAX_ID} characters, it returned {made!r:.60}")
        return str(made)

    return new_jti


def _event(config: SessionConfig, draft: Draft, policy: TokenPolicy, claims: Mapping[str, Any]) -> JtiEvent:
    session = session_of(draft.life)
    payload = copied(claims)
    return JtiEvent(claims.get("jti"), session, policy.use, claims["exp"], payload, config, draft.presented.env)


async def call_back(name: str, callback: Callable[[JtiEvent], Any], event: JtiEvent) -> Any:
    """Runs a callback, plain or async. An error of its own means that its store cannot answer."""
    try:
        answer = callback(event)
        return await answer if inspect.isawaitable(answer) else answer
    except LionRockError:
        raise
    except Exception as exc:
        logger.exception("jti.%s failed", name)
        raise StorageUnavailable(f"jti.{name} failed") from exc
