# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The command line `verl-prpo COMMAND ...`."""

import argparse
import sys
from collections.abc import Sequence

from verl_prpo import __version__
from verl_prpo.cli import calibrate, compare, data, doctor, evaluate, recipe, rollout_report

COMMANDS = {
    "data": data,
    "eval": evaluate,
    "doctor": doctor,
    "calibrate": calibrate,
    "report": rollout_report,
    "compare": compare,
    "recipe": recipe,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: the arguments, without the program's name; those of the process when None.

    Returns:
        The exit status: 0 all right, 1 something fails, 2 arguments or files that cannot be used.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    listed = "\n".join(f"  {name:10} {command.SUMMARY}" for name, command in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="verl-prpo",
        description=f"Process rewards for verl.\n\ncommands:\n{listed}\n\n`verl-prpo COMMAND --help` says more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("command", choices=COMMANDS)
    chosen = parser.parse_args(words[:1]).command
    command = COMMANDS[chosen]
    # Options may stand between overrides, as in the training command, which subparsers do not take.
    arguments = command.parser(f"verl-prpo {chosen}").parse_intermixed_args(words[1:])
    return command.run(arguments)


if __name__ == "__main__":
    sys.exit(main())
