# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""How much of the PRM's time a training step shows, with a real PRM server made slow by a set latency.

    VERL_PLATFORM=cpu python benchmarks/overlap.py [--latency 1.0] [--steps 3] [--schedule stream] [--schedule batch]

`main_ppo` trains a small random policy. The PRM is a vLLM server behind a proxy that holds every request back by the
latency. With schedule=stream each response is scored as it finishes, with schedule=batch after old_log_prob. Printed
are, over the steps after the first: the time of generation, the PRM's total time (timing_s/prm_busy), and what of it
the step waited for (timing_s/prm_wait). The target holds for streaming when the PRM needs no longer than generation.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import mean

import aiohttp
import pandas as pd
import sized_prm
from aiohttp import web
from guarded_run import guarded_run

from verl_prpo.prm.families.qwen_math import QwenMathPrm

ROOT = Path(__file__).resolve().parent.parent
TARGET = 0.10
RUN_TIMEOUT = 1500.0
REWARD = """
def compute_score(data_source, solution_str, ground_truth, extra_info=None, **kwargs):
    return float(len(solution_str) % 2 == 0)
"""


@contextmanager
def delayed(url: str, latency: float) -> Iterator[str]:
    """The URL of a proxy that passes requests on to `url` after `latency` seconds; health checks at once."""
    loop = asyncio.new_event_loop()

    async def start() -> tuple[web.AppRunner, aiohttp.ClientSession, str]:
        session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=RUN_TIMEOUT))

        async def forward(request: web.Request) -> web.Response:
            body = await request.read()
            if request.method == "POST":
                await asyncio.sleep(latency)
            headers = {"Content-Type": request.content_type}
            async with session.request(request.method, f"{url}{request.path}", data=body, headers=headers) as answer:
                return web.Response(body=await answer.read(), status=answer.status, content_type=answer.content_type)

        app = web.Application(client_max_size=2**28)
        app.router.add_route("*", "/{path:.*}", forward)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return runner, session, f"http://127.0.0.1:{runner.addresses[0][1]}"

    runner, session, address = loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield address
    finally:
        for closing in (session.close(), runner.cleanup()):
            asyncio.run_coroutine_threadsafe(closing, loop).result(timeout=30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=10)


def train(folder: Path, schedule: str, url: str, given: argparse.Namespace) -> list[dict[str, float]]:
    """The metrics of every step of one run."""
    rollout = "actor_rollout_ref.rollout"
    command = [sys.executable, "-m", "verl.trainer.main_ppo"]
    command += ["--config-dir", str(ROOT / "recipes"), "--config-name", "prpo_laptop"]
    command += [
        f"actor_rollout_ref.model.path={folder / 'policy'}",
        f"data.train_files={folder / 'prompts.parquet'}",
        f"data.val_files={folder / 'prompts.parquet'}",
        f"data.train_batch_size={given.prompts}",
        f"actor_rollout_ref.actor.ppo_mini_batch_size={given.prompts}",
        f"data.max_response_length={given.length}",
        f"{rollout}.max_model_len={given.length + 64}",
        f"{rollout}.max_num_seqs={given.slots}",
        f"{rollout}.n=4",
        f"reward.custom_reward_function.path={folder / 'reward.py'}",
        f"reward.prm.model_path={folder / 'prm'}",
        "reward.prm.custom_family.path=null",
        "reward.prm.custom_family.name=null",
        f"+reward.prm.server.urls=[{url}]",
        f"+reward.prm.schedule={schedule}",
        "+reward.prm.cache_size=0",
        "+algorithm.prpo.segmenter=uniform",
        "trainer.logger=[console,file]",
        "trainer.val_before_train=False",
        "trainer.test_freq=-1",
        f"trainer.total_training_steps={given.steps}",
        f"hydra.run.dir={folder / 'hydra'}",
    ]
    metrics = folder / f"{schedule}.jsonl"
    environment = {**os.environ, "VERL_PLATFORM": "cpu", "VERL_FILE_LOGGER_PATH": str(metrics)}
    guarded_run(command, folder / f"{schedule}.log", RUN_TIMEOUT, environment)
    rows = [json.loads(line)["data"] for line in metrics.read_text().splitlines()]
    return [row for row in rows if "training/global_step" in row]


def report(schedule: str, steps: list[dict[str, float]]) -> bool:
    """Print a run's figures; returns False when it misses the target that holds for it."""
    later = steps[1:] or steps
    whole, generation, busy, wait = (
        mean(step[f"timing_s/{name}"] for step in later) for name in ("step", "gen", "prm_busy", "prm_wait")
    )
    share = wait / busy
    print(
        f"{schedule:8}{whole:9.2f}{generation:13.2f}{busy:11.2f}{wait:12.2f}{share:11.1%}"
        f"{mean(step['prpo/prm/requests'] for step in later):10.0f}"
    )
    if schedule != "stream":
        return True
    if busy > generation + wait:
        print("the PRM takes longer than generation here; lower --latency for the target to hold")
        return True
    print(f"exposed in streaming: {share:.1%}, target at most {TARGET:.0%}: {'met' if share <= TARGET else 'NOT met'}")
    return share <= TARGET


def main() -> int:
    """The command line; the exit status is 1 when the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--schedule", action="append", choices=["stream", "batch"], help="default: both")
    parser.add_argument("--latency", type=float, default=1.0, help="seconds added to every request (default 1)")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--prompts", type=int, default=16, help="of a step, with 4 responses each")
    parser.add_argument("--length", type=int, default=256, help="most tokens of a response")
    parser.add_argument("--slots", type=int, default=4, help="responses generated at a time")
    given = parser.parse_args()
    met = True
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        sized_prm.build(folder / "prm", hidden=64, layers=2)
        sized_prm.build_policy(folder / "policy")
        (folder / "reward.py").write_text(REWARD)
        prompts = [[{"role": "user", "content": f"How many apples are {n} and {n + 1}?"}] for n in range(64)]
        truth = [{"style": "rule", "ground_truth": str(2 * n + 1)} for n in range(64)]
        extra = [{"index": n, "split": "train"} for n in range(64)]
        rows = {"data_source": "apples", "prompt": prompts, "reward_model": truth, "extra_info": extra}
        pd.DataFrame(rows).to_parquet(folder / "prompts.parquet")
        separator = QwenMathPrm.open(str(folder / "prm")).separator_id
        step = json.dumps({"tok_pooling_type": "STEP", "step_tag_id": separator})
        with (
            sized_prm.served(folder / "prm", folder / "server.log", "--pooler-config", step) as url,
            delayed(url, given.latency) as slow,
        ):
            print(f"latency {given.latency:g} s; seconds a step, means over the steps after the first")
            print(f"{'':8}{'step':>9}{'generation':>13}{'PRM total':>11}{'exposed':>12}{'share':>11}{'requests':>10}")
            for schedule in given.schedule or ["batch", "stream"]:
                met &= report(schedule, train(folder, schedule, slow, given))
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
