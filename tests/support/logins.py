"""A process that logs a user in many times at once, where only a few may be: one round for each line that it reads.

Its arguments are the storage's URL, the cap and how many logins; a line names the user, and the answer is the sids of
those let in.
"""

import asyncio
import json
import sys

from aiohttp_lionrock import Session, SessionConfig, SessionLimitReached, SessionManager

__all__ = ["log_in"]


async def log_in(manager: SessionManager, user: str) -> str | None:
    """The sid of one login, None where it was refused."""
    session: Session = await manager.load({})
    session["sub"] = user
    try:
        await manager.save(session)
    except SessionLimitReached:
        return None
    return session.sid


async def main(url: str, most: str, logins: str) -> None:
    config = SessionConfig(
        secret="known to nobody but these processes: 0123456789",
        storage=url,
        storage_timeout=20,
        max_sessions=int(most),
        when_full="refuse",
    )
    async with SessionManager(config, environ={}) as manager:
        print("ready", flush=True)
        while user := (await asyncio.to_thread(sys.stdin.readline)).strip():
            found = await asyncio.gather(*(log_in(manager, user) for _ in range(int(logins))))
            print(json.dumps([sid for sid in found if sid is not None]), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
