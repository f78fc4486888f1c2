# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The command line `verl-prpo COMMAND ...`."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from verl_prpo import __version__
from verl_prpo.cli import calibrate, compare, data, doctor, evaluate, recipe, rollout_report
from verl_prpo.console.choices import nearest, one_of

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
    """Run a command, or print help where there is none.

    Args:
        argv: the arguments, without the program's name. None stands for those of the process.

    Returns:
        The exit status: 0 all right, 1 something fails, 2 arguments or files that cannot be used. Others are a
        command's own.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    parser = _parser()
    if words[:1] in ([], ["help"]):
        (_command(parser, words[1]) if words[1:] else parser).print_help()
        return 0
    chosen = parser.parse_args(words[:1]).command
    command = _command(parser, chosen)
    # Options may stand between overrides, as in the training command, which subparsers do not take.
    arguments, unknown = command.parse_known_intermixed_args(words[1:])
    if unknown:
        options = [option for option in unknown if option.startswith("-")]
        near = [nearest(option, command._option_string_actions) for option in options[:1] if option.startswith("--")]
        command.error(f"unrecognized arguments: {' '.join(unknown)}{near[0] if near and 'did' in near[0] else ''}")
    logging.getLogger(_PLATFORM).addFilter(_not_on_accelerators)
    try:
        status = COMMANDS[chosen].run(arguments)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # whoever read the output has seen enough, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


_PLATFORM = "verl.plugin.platform.platform_manager"


def _not_on_accelerators(record: logging.LogRecord) -> bool:
    """Return whether to show a record of the log. Records on missing accelerators are hidden.

    No command needs an accelerator, and the doctor reports by itself what is not there.
    """
    return not str(record.msg).startswith(("No supported accelerator detected", "Platform '%s' (%s) is registered but"))


def _parser() -> argparse.ArgumentParser:
    listed = "\n".join(f"  {name:10} {command.SUMMARY}" for name, command in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="verl-prpo",
        description=f"Process rewards for verl.\n\ncommands:\n{listed}\n\n`verl-prpo help COMMAND` says more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("command", type=one_of("command", [*COMMANDS, "help"]), metavar="COMMAND")
    return parser


def _command(parser: argparse.ArgumentParser, name: str) -> argparse.ArgumentParser:
    if name not in COMMANDS:
        parser.error(f"no command {name!r}{nearest(name, COMMANDS)}")
    return COMMANDS[name].parser(f"verl-prpo {name}")


if __name__ == "__main__":
    sys.exit(main())
