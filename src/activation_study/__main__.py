"""`activation-study <command>`, or `python -m activation_study <command>`: questions to a study's tables."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from activation_study import recommend, verify
from activation_study.errors import StudyError

COMMANDS = {"recommend": recommend, "verify": verify}
"""Each is a module with `HELP`, `add_arguments(parser)` and `main(arguments)`."""


class _Parser(argparse.ArgumentParser):
    """Faults are one line, as everywhere."""

    def error(self, message: str) -> NoReturn:
        raise StudyError(message)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; a StudyError ends it with its line on stderr and exit code 1."""
    parser = _Parser(prog="activation-study", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, module in COMMANDS.items():
        module.add_arguments(commands.add_parser(name, help=module.HELP, description=module.HELP))
    try:
        parsed = parser.parse_args(arguments)
        COMMANDS[parsed.command].main(parsed)
    except StudyError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
