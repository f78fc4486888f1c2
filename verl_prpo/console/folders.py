# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Folders that a command is to write into, looked at before anything that takes long."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path


class FolderError(OSError):
    """A folder that cannot be written. The message names it and says why."""


@contextlib.contextmanager
def writable_folder(folder: Path) -> Iterator[None]:
    """Make a folder and check that files can be written in it. In the end, remove what was made if it is empty.

    Args:
        folder: the folder. It may exist already.

    Raises:
        FolderError: it cannot be made, or no file can be written in it.
    """
    made: list[Path] = []
    try:
        for level in (*reversed(folder.parents), folder):
            if not level.exists():
                level.mkdir(exist_ok=True)
                made.append(level)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        _take_away(made)
        raise FolderError(f"{folder} cannot be written: {error.strerror or error}") from error
    try:
        yield
    finally:
        _take_away(made)


def _take_away(made: list[Path]) -> None:
    with contextlib.suppress(OSError):  # one that is in use by now
        for level in reversed(made):
            level.rmdir()
