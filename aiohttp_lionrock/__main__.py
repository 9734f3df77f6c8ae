"""``python -m aiohttp_lionrock`` and the script ``aiohttp-lionrock``: the command line, where click is installed."""

import sys

__all__ = ["main"]


def main() -> int:
    """Runs one command; returns its exit code."""
    try:
        import click  # noqa: F401
    except ModuleNotFoundError:
        print("Error: the command line needs click: pip install 'click>=8.2'", file=sys.stderr)  # noqa: T201
        return 2
    from .cli.program import run

    return run()


if __name__ == "__main__":
    sys.exit(main())
