# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""What a run would find: on a real Ray with 8 logical GPUs, and at a hub that does not answer."""

import logging
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
import ray
from eight_gpus import GRPO, SWITCH
from huggingface_hub import constants
from verl_configs import compose

from verl_prpo.console.findings import CheckFailed, State
from verl_prpo.doctor import hub
from verl_prpo.doctor.target import RAY, Target, found_target, gpus
from verl_prpo.prm.families.base import PrmError
from verl_prpo.trainer.checks.start_checks import require_gpus


@pytest.fixture(scope="module")
def eight() -> Iterator[str]:
    """The address of a cluster of one node with 8 logical GPUs."""
    ray.shutdown()
    started = ray.init(num_cpus=1, num_gpus=8, include_dashboard=False, log_to_driver=False)
    try:
        yield started.address_info["gcs_address"]
    finally:
        ray.shutdown()


class TestOnRay:
    def test_its_nodes_are_counted_and_the_run_says_the_same(self, eight: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RAY_ADDRESS", eight)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        assert found_target() == Target((8.0,), RAY, 8.0)

        config = compose(overrides=[*GRPO[1:], *SWITCH])
        with pytest.raises(CheckFailed, match=r"9 GPUs asked for, 8 there \(1 node of 8\): 1 too few") as failed:
            gpus(config, None)
        with pytest.raises(PrmError, match=r"Ray has 8 GPU \(1 node of 8\), of which the trainer takes 8") as stopped:
            require_gpus(config)
        choices = failed.value.advice.partition("\n")[2]
        assert "++reward.prm.num_replicas=4" in choices
        assert str(stopped.value).endswith(choices)

    def test_what_fits_is_ok(self, eight: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RAY_ADDRESS", eight)
        assert gpus(compose(overrides=[*GRPO]), None).state is State.OK


class TestWithoutRay:
    def test_what_is_stated_counts(self) -> None:
        config = compose(overrides=[*GRPO])
        assert gpus(config, Target((8.0,), "stated")).state is State.OK
        with pytest.raises(CheckFailed, match="8 GPUs asked for, 4 there"):
            gpus(config, Target((4.0,), "stated"))

    def test_gpus_that_another_job_holds_are_a_warning(self) -> None:
        found = gpus(compose(overrides=[*GRPO]), Target((8.0, 8.0), RAY, 4.0))
        assert found.state is State.WARNING
        assert "12 are held by another job now" in found.found

    def test_a_ray_without_gpus_fails_and_nothing_known_is_a_warning(self) -> None:
        with pytest.raises(CheckFailed, match=r"8 GPUs asked for, 0 there \(no node\)"):
            gpus(compose(overrides=[*GRPO]), Target((), RAY, 0.0))
        found = gpus(compose(overrides=[*GRPO]), Target((), "this machine"))
        assert found.state is State.WARNING
        assert "--gpus 8 --nodes 1" in found.advice


class TestHub:
    NAMES = ("some/prm", "some/policy")

    @pytest.fixture(autouse=True)
    def online(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)

    def test_one_that_is_down_is_asked_once_and_left_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{taken.getsockname()[1]}")
        with hub.quiet_hub():
            found = hub.hub(self.NAMES)
            assert constants.HF_HUB_OFFLINE  # whatever follows asks no more
            assert not logging.getLogger("huggingface_hub").isEnabledFor(logging.WARNING)
        assert not constants.HF_HUB_OFFLINE
        assert found.state is State.WARNING
        assert "some/prm, some/policy are looked for in the cache alone" in found.found

    def test_one_that_never_answers_costs_one_short_wait(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hub, "PROBE_TIMEOUT", 0.3)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
            with hub.quiet_hub():
                assert hub.hub(self.NAMES).state is State.WARNING

    def test_one_that_answers_gets_one_request(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[str] = []

        class Answer(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                asked.append(self.path)
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
            with hub.quiet_hub():
                assert hub.hub(self.NAMES).state is State.OK
                assert not constants.HF_HUB_OFFLINE
            server.shutdown()
        assert len(asked) == 1

    def test_none_is_asked_without_names_or_offline(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hub, "_probe", lambda: pytest.fail("asked"))
        assert hub.hub(()).state is State.SKIPPED
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        assert hub.hub(["a/b"]).found == "HF_HUB_OFFLINE is set: a/b is looked for in the cache alone"
        assert hub.hub(["a/b", "c/d"]).found == "HF_HUB_OFFLINE is set: a/b, c/d are looked for in the cache alone"

    def test_folders_are_no_names(self, tmp_path: object) -> None:
        prm = SimpleNamespace(
            family=None, model_path=str(tmp_path), family_options={"reference_model_path": "some/reference"}
        )
        config = compose(overrides=[*GRPO, "actor_rollout_ref.model.path=some/policy"])
        assert hub.names_of(config, prm) == ["some/reference", "some/policy"]  # type: ignore[arg-type]
        assert hub.names_of(config, None) == []
