"""The command line, for operators: secrets, settings, tokens, and the sessions in a storage.

May not be imported by anything but `aiohttp_lionrock.__main__`.
"""
