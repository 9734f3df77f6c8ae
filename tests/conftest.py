"""Fixtures that every test may use."""

pytest_plugins = ["support.mongod", "aiohttp_lionrock.testing.pytest_plugin"]
