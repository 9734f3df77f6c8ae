"""What the concept pages show: programs, and diagrams that the script still draws."""

import runpy
import time
from pathlib import Path

import pytest
from support.pages import DOCS, Serve, ask, cookies_of, program
from support.sessions import until_recorded

from aiohttp_lionrock.testing import FakeClock
