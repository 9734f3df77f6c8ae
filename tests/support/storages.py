"""Storages that behave as real ones do on a bad day: those of the library's own helpers, and one slow in any order."""

import asyncio
import random

from aiohttp_lionrock import JtiStorage
from aiohttp_lionrock.testing.storages import Call, FaultyStorage, Mode, Recorder, T, Wrapper

__all__ = ["Call", "FaultyStorage", "Interleaved", "Mode", "Recorder", "T", "Wrapper"]


class Interleaved(Recorder):
    """Gives the event loop to others around every call, for a random but repeatable number of turns."""

    def __init__(self, inner: JtiStorage, seed: int = 0, turns: int = 4) -> None:
        super().__init__(inner)
        self._random = random.Random(seed)
        self._turns = turns

    async def around(self, name: str, call: Call[T]) -> T:
        await self._pause()
        answer = await super().around(name, call)
        await self._pause()
        return answer

    async def _pause(self) -> None:
        for _ in range(self._random.randrange(self._turns)):
            await asyncio.sleep(0)
