# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Workers that compare answers: killed when an answer takes too long, replaced when they die, shared by threads."""

import logging
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from verl_prpo.outcome import scorer
from verl_prpo.outcome.pool import TimedOut, WorkerFailed, WorkerPool
from verl_prpo.outcome.scorer import score_answer

TOWER = "9^{9^{9}}"
"""SymPy multiplies it out for longer than anybody waits."""
SHORT, AMPLE = 1.0, 120.0

ORPHAN = """
import os, threading, time
from verl_prpo.outcome.pool import WorkerPool

pool = WorkerPool(1)
assert pool.equal("2^{{3}}", "8", 120.0)
print(*pool.pids(), flush=True)
{last_words}
"""


@pytest.fixture
def pool():
    made = WorkerPool(2)
    yield made
    made.close()
    assert made.pids() == []


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone_within(pid: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.1)
    return not alive(pid)


def test_no_worker_runs_before_the_first_comparison(pool):
    assert pool.pids() == []
    assert pool.equal(r"\sqrt{12}", r"2\sqrt{3}", AMPLE)
    assert not pool.equal(r"\sqrt{12}", r"3\sqrt{2}", AMPLE)
    assert len(pool.pids()) == 1


def test_a_worker_is_killed_when_its_answer_takes_too_long(pool):
    assert pool.equal("2^3", "8", AMPLE)
    (pid,) = pool.pids()
    started = time.monotonic()
    with pytest.raises(TimedOut, match="1 s"):
        pool.equal(TOWER, "5", SHORT)
    assert time.monotonic() - started < 30
    assert not alive(pid) and pool.pids() == []
    assert pool.equal("2^3", "8", AMPLE)


def test_a_worker_killed_while_idle_is_replaced_without_notice(pool):
    assert pool.equal("2^3", "8", AMPLE)
    (pid,) = pool.pids()
    os.kill(pid, signal.SIGKILL)
    assert pool.equal("2^3", "8", AMPLE)
    assert pool.pids() != [pid]


def test_all_workers_killed_while_idle_are_replaced_without_notice(pool):
    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(lambda n: pool.equal(f"{n}x", f"x+{n - 1}x", AMPLE), range(2, 34)))
    dead = pool.pids()
    assert len(dead) == 2
    for pid in dead:
        os.kill(pid, signal.SIGKILL)
    assert pool.equal("2^3", "8", AMPLE)
    assert set(pool.pids()) - set(dead)


def test_a_worker_killed_at_work_costs_one_more_try(pool):
    assert pool.equal("2^3", "8", AMPLE)
    (first,) = pool.pids()
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(pool.equal, TOWER, "5", AMPLE)
        for victim in range(2):
            end = time.monotonic() + AMPLE
            while (not pool.pids() or pool.pids() == [first]) if victim else not pool.pids():
                assert time.monotonic() < end
                time.sleep(0.05)
            os.kill(pool.pids()[0], signal.SIGKILL)
        with pytest.raises(WorkerFailed, match=r"died|gone"):
            asked.result(timeout=AMPLE)


def test_what_a_worker_cannot_compare_is_an_error_and_the_worker_lives_on(pool):
    with pytest.raises(WorkerFailed, match="nested too deep"):
        pool.equal("(" * 50 + "1" + ")" * 50, "x", AMPLE)
    assert len(pool.pids()) == 1


def test_threads_share_the_workers(pool):
    asked = [(rf"\frac{{{n}}}{{\sqrt{{{n}}}}}", rf"\sqrt{{{n + n % 2}}}") for n in range(2, 34)]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda pair: pool.equal(*pair, AMPLE), asked))
    assert found == [n % 2 == 0 for n in range(2, 34)]
    assert len(pool.pids()) == 2


def test_a_slow_answer_does_not_hold_up_the_others(pool):
    with ThreadPoolExecutor(8) as threads:
        slow = threads.submit(pool.equal, TOWER, "5", SHORT)
        others = [threads.submit(pool.equal, "2^3", "8", AMPLE) for _ in range(8)]
        assert all(other.result(timeout=AMPLE) for other in others)
        with pytest.raises(TimedOut):
            slow.result(timeout=AMPLE)


@pytest.mark.parametrize("last_words", ["", "os._exit(0)", "os.kill(os.getpid(), 9)"], ids=["ends", "exits", "killed"])
def test_no_worker_outlives_its_parent(last_words):
    run = subprocess.run(
        [sys.executable, "-c", ORPHAN.format(last_words=last_words)], capture_output=True, text=True, timeout=300
    )
    (pid,) = map(int, run.stdout.split())
    assert gone_within(pid, 60)


def test_a_busy_worker_whose_parent_is_killed_ends_itself():
    busy = f"""
threading.Thread(target=pool.equal, args=({TOWER!r}, "5", 1.0), daemon=True).start()
time.sleep(0.3)
os.kill(os.getpid(), 9)
"""
    run = subprocess.run(
        [sys.executable, "-c", ORPHAN.format(last_words=busy)], capture_output=True, text=True, timeout=300
    )
    (pid,) = map(int, run.stdout.split())
    assert gone_within(pid, 60)


class TestVerdicts:
    """What the scorer makes of a comparison that failed: wrong, with its cause, and a line in the log."""

    @pytest.fixture(autouse=True)
    def heard(self, caplog, monkeypatch):
        monkeypatch.setattr(scorer, "_next_line", 0.0)
        monkeypatch.setattr(scorer, "_counts", dict.fromkeys(scorer._counts, 0))
        caplog.set_level(logging.WARNING, logger=scorer.__name__)
        return caplog

    def test_a_timeout_is_wrong_and_counted(self, heard):
        for _ in range(2):
            verdict = score_answer("lighteval/MATH", f"\\boxed{{{TOWER}}}", "5", timeout=SHORT)
            assert (verdict.correct, verdict.answer, verdict.method) == (False, TOWER, "timeout")
        assert scorer._counts == {"timeout": 2, "error": 0, "unread": 0}
        (line,) = heard.messages  # one a minute
        assert "reward.math_verifier.timeout" in line and TOWER in line and "1 timed out" in line

    def test_an_error_is_wrong_and_counted(self, heard):
        verdict = score_answer("lighteval/MATH", "\\boxed{" + "(" * 50 + "x" + ")" * 50 + "}", "y", timeout=AMPLE)
        assert (verdict.correct, verdict.method) == (False, "error")
        assert "nested too deep" in heard.messages[0]

    def test_a_pool_that_cannot_start_workers_is_no_exception(self, heard, monkeypatch):
        broken = WorkerPool(1)
        monkeypatch.setattr("verl_prpo.outcome.pool._CODE", "raise SystemExit")
        monkeypatch.setattr(scorer, "shared_pool", lambda: broken)
        verdict = score_answer("lighteval/MATH", r"\boxed{\sqrt{12}}", r"2\sqrt{3}")
        assert (verdict.correct, verdict.method) == (False, "error")
        assert "no worker could be started" in heard.messages[0]
