# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Every wait of the package, in seconds unless a line says otherwise: who waits, for what, and what happens then.

The first group are defaults of settings. The others are constants: each bounds a wait that no run should reach.
"""

# Defaults of settings

PRM_TIMEOUT = 600.0
"""`reward.prm.timeout`: a training step waits for process scores. Then the responses without scores have failed."""

STARTUP_TIMEOUT = 1800.0
"""`reward.prm.startup_timeout`: the trainer waits for replicas to load the PRM. Then the run stops."""

REQUEST_TIMEOUT = 120.0
"""`reward.prm.server.request_timeout`: a replica waits for a server's answer. Then the request is sent again."""

CALL_TIMEOUT = 60.0
"""`reward.prm.score_function.timeout`: a replica waits for one call of your score function. Then it ends the process
that runs it, and the call may be repeated."""

COMPARISON_TIMEOUT = 10.0
"""`reward.math_verifier.timeout`: the verifier compares one answer. Then the answer counts as wrong."""

WEIGHT_TIMEOUT = 300.0
"""`timeout_s` of the checkpoint engine `local_socket`: either side waits for one weight. Then the run stops."""

# Training with a process reward model

PLACEMENT_TIMEOUT = 45.0
"""The trainer waits for the Ray cluster to reserve room for the replicas. Then the run stops and says what is free."""

NAMES_TIMEOUT = 20.0
"""New replicas wait for the names of stopped ones. Then the start fails."""

NAMES_PAUSE = 0.05
"""The pause between two looks at those names."""

DESCRIBE_TIMEOUT = 60.0
"""The trainer waits for a loaded replica to describe its PRM. Then the run stops."""

COLLECT_GRACE = 30.0
"""The trainer waits this much longer than `reward.prm.timeout`, so that a worker's timeout, which names the response,
is reported first. Then the run stops."""

LINGER = 0.005
"""The first request to a replica waits for others that can travel in the same call. Then the call is made."""

# Servers of the process reward model

CHECK_TIMEOUT = 15.0
"""The start check waits for each server's health and model. Then the run does not start, and the server is named."""

CONNECT_TIMEOUT = 10.0
"""A request waits for a server to accept the connection. Then the request is sent again."""

KEEP_ALIVE = 4.0
"""An idle connection stays open. Then it is closed, before uvicorn (and so vLLM) closes it after 5 seconds."""

SHARE_OF_TIMEOUT = 0.9
"""A fraction of `reward.prm.timeout`: a replica waits for all servers. Then responses without an answer fail, and the
scores of the others reach the trainer in time."""

BACKOFF = 0.5
"""The longest pause before the first retry of a request. It doubles with each retry, up to `MAX_BACKOFF`."""

MAX_BACKOFF = 10.0
"""The longest pause before any retry."""

REST = 0.5
"""A server gets no request after a fault. The time doubles with each fault in a row, up to `MAX_REST`."""

MAX_REST = 15.0
"""The longest time without a request after faults. Then the server gets one request at a time until it answers."""

# A score function of your own

CANCEL_GRACE = 2.0
"""A coroutine that was cancelled at its time limit may still end. Then its process is ended: the coroutine does not
yield."""

CALL_GRACE = 5.0
"""A plain call lives on after its time limit where nobody ended it. Then its process ends itself: its parent may be
dead."""

# Comparison of answers

WORKER_START_TIMEOUT = 180.0
"""The verifier waits for a worker process to import SymPy. Then the answer that needed it counts as wrong."""

WORKER_QUEUE = 100
"""A number of comparisons: with all workers busy an answer waits for as many time limits and one worker's start. Then
it counts as wrong."""

WORKER_GRACE = 2.0
"""A worker lives on after a time limit at which nobody killed it. Then it ends itself: its parent may be dead."""

WORKER_END_TIMEOUT = 30.0
"""The verifier waits for a killed worker to end. Then the comparison fails."""

TRIAL_TIMEOUT = 60.0
"""The start of a run waits for the comparison of one known pair. Then the run does not start."""

# Commands

NETWORK_TIMEOUT = 90.0
"""The doctor waits for files of the hub, or for the servers to score its example. Then the check fails."""

PROBE_TIMEOUT = 5.0
"""The doctor waits for any answer of the hub. Then it works offline, with what the hub's cache holds."""

RAY_TIMEOUT = 20.0
"""The doctor waits for a running Ray cluster to list its resources. Then it looks at this machine instead."""

MERGE_TIMEOUT = 3600.0
"""The evaluation waits for verl to merge a sharded checkpoint. Then the evaluation stops."""

EVALUATION_TIMEOUT = 86_400.0
"""`--timeout` of `verl-prpo eval`: the evaluation waits for one run of verl's validation. Then it ends that run."""

FATAL_PAUSE = 2.0
"""The evaluation waits for the rest of a message after which a run cannot go on. Then it ends that run."""

END_GRACE = 10.0
"""The evaluation waits for the processes of a run to end by themselves. Then it kills them."""

VOTE_TIMEOUT = 2.0
"""A majority vote compares two answers. Then the two count as different."""

DOWNLOAD_TIMEOUT = 300.0
"""The script that refreshes KaTeX waits for npm. Then it stops."""
