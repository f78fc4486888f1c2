# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""A user's function in place of a PRM. It runs in processes of its own, which can be ended when it hangs.

Reading order: `declared` (the function and what it says of itself), `worker` (the process that runs it), `process`
(that process as seen from here), `outputs` (what it returned, as scores), `pool` (several processes),
`engine` (requests, cache, retries).
`declared`, `worker` and `outputs` import nothing heavy, so a worker starts in a fraction of a second.
"""
