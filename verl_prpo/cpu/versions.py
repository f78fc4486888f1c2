# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Which releases the workarounds were written against."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

logger = logging.getLogger(__name__)

VERL_SERIES = ((0, 9), (0, 10))
VLLM_SERIES = ((0, 28),)


def release_matches(package: str, installed: str, series: Sequence[tuple[int, int]], workaround: str) -> bool:
    """Return whether an installed version belongs to a release series a workaround was written for.

    Args:
        package: distribution name, for the message.
        installed: its version string, such as `"0.28.0+cpu"`.
        series: major and minor numbers the workaround answers.
        workaround: what is left out when the series differs, for the message.

    Returns:
        True if major and minor agree with one of them. Otherwise False, after a warning that names both versions.
    """
    match = re.match(r"(\d+)\.(\d+)", installed)
    if match and (int(match[1]), int(match[2])) in series:
        return True
    written_for = " or ".join(f"{major}.{minor}.*" for major, minor in series)
    logger.warning(
        "%s %s is installed, but %s was written for %s, so it is not applied. "
        "Install %s %s to train with VERL_PLATFORM=cpu.",
        package, installed, workaround, written_for, package, written_for,
    )  # fmt: skip
    return False
