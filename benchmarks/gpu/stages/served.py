# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The same PRM on a vLLM server of this machine, asked as training asks it."""

import prm
from record import Record

from stages.manager import prepared, reported


def measure(record: Record) -> None:
    """Tokens a second through the manager, of the server asked with many dialogues, and of one after another."""
    with prepared(record) as work:
        found = prm.server(work, 1, 1 if record.small else 3, record.device.type)
        reported(record, found, "the server alone")
