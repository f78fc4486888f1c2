# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""A real `vllm serve` on the CPU, for the time of a `with` block."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

START_TIMEOUT = 400.0
"""Seconds in which a server must be up, on a loaded machine."""

STOP_TIMEOUT = 20.0


class VllmServer:
    """One process of vLLM's OpenAI-compatible server on the loopback; `wait` before use."""

    def __init__(self, model: Path, log: Path, arguments: list[str]):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._log = log
        command = [sys.executable, "-m", "verl_prpo.cpu.serve", "serve", str(model), "--host", "127.0.0.1"]
        command += ["--port", str(port), "--dtype", "float32", "--enforce-eager", "--max-num-seqs", "16", *arguments]
        environment = os.environ | {
            "VERL_PLATFORM": "cpu",
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "VLLM_NO_USAGE_STATS": "1",
        }
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, env=environment, start_new_session=True
            )

    def wait(self) -> None:
        """Return when the server is up.

        Raises:
            RuntimeError: it ended, or was not up in time; with the end of its log.
        """
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError(f"vllm serve ended with status {self._process.returncode}:\n{self._tail()}")
            try:
                with urllib.request.urlopen(self.url + "/health", timeout=5):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.5)
        raise RuntimeError(f"vllm serve was not up within {START_TIMEOUT:g} s:\n{self._tail()}")

    def stop(self) -> None:
        """End the server and the processes that it started."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_TIMEOUT)

    def _tail(self) -> str:
        return self._log.read_text(errors="replace")[-5000:]


@contextlib.contextmanager
def vllm_servers(folder: Path, **models: tuple[Path, list[str]]) -> Iterator[dict[str, VllmServer]]:
    """Several servers at once, by name.

    Args:
        folder: for their logs.
        models: the model's folder and vLLM's further arguments.
    """
    servers: dict[str, VllmServer] = {}
    try:
        for name, (model, arguments) in models.items():
            servers[name] = VllmServer(model, folder / f"{name}.log", arguments)
        for server in servers.values():
            server.wait()
        yield servers
    finally:
        for server in servers.values():
            server.stop()
