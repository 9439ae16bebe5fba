"""`activation-study <command>`, or `python -m activation_study`: checks a config, questions tables, probes a model."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import NoReturn

from activation_study.core.errors import StudyError
from activation_study.core.text import plain

COMMANDS = {
    "check": "read a config and its claims, and say what it asks for or what is wrong",
    "compare": "write a page on what changed from one study to another: verdicts and ranks",
    "probe": "say what the activations of your own model do on your data",
    "recommend": "say which activation to use, how sure that is and why",
    "verify": "compare a study's tables with the published reference run's",
}
"""Each is a module with `add_arguments(parser)` and `main(arguments)`, imported when it is asked for."""


class _Parser(argparse.ArgumentParser):
    """Faults are one line, as everywhere."""

    def error(self, message: str) -> NoReturn:
        raise StudyError(plain(message, 300))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; a StudyError ends it with its line on stderr and exit code 1."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    parser = _Parser(prog="activation-study", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, help_text in COMMANDS.items():
        command = commands.add_parser(name, help=help_text, description=help_text)
        if given[:1] == [name]:
            importlib.import_module(f"activation_study.cli.{name}").add_arguments(command)
    try:
        parsed = parser.parse_args(given)
        importlib.import_module(f"activation_study.cli.{parsed.command}").main(parsed)
    except StudyError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
