# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`verl-prpo doctor` on set-ups that would train and on ones that would not."""

import copy
import functools
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import arithmetic_prm
import pyarrow
import pyarrow.parquet
import pytest
import tiny_causal_prms
import tiny_models
import torch
from chat_server import arithmetic, chat_server, says
from eight_gpus import GRPO
from fault_server import FaultServer, rows
from omegaconf import DictConfig
from transformers import Qwen2Config

from verl_prpo.cli.main import main
from verl_prpo.console.check_table import CheckTable
from verl_prpo.console.findings import CheckFailed, Finding, Report, State, within
from verl_prpo.doctor import installation, key_checks, run_checks, wiring
from verl_prpo.doctor.source_checks import scorer
from verl_prpo.doctor.worked_example import BUILT_IN, WorkedExample, read_example
from verl_prpo.prm.families.qwen_math import QwenMathPrm
from verl_prpo.prm.in_process.engine import InProcessEngine
from verl_prpo.settings.training_config import TrainingArguments, compose
from verl_prpo.trainer.checks.batch_sizes import MICRO, MINI, READ_MICRO, TENSOR

ROOT = Path(__file__).parents[2]
LAPTOP = ["--config-dir", str(ROOT / "recipes"), "--config-name", "prpo_laptop"]
RECIPES = sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml"))
EIGHT_GPUS = ["--gpus", "8"]  # stated, because a Ray of another process on this machine would be counted
DETECTED = ["reward.prm.custom_family.path=null", "reward.prm.custom_family.name=null"]

SEPARATOR_ID = tiny_models.qwen_tokenizer().convert_tokens_to_ids(tiny_models.SEPARATOR)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("policy")
    tiny_models.qwen_tokenizer().save_pretrained(path)
    Qwen2Config().save_pretrained(path)
    return f"actor_rollout_ref.model.path={path}"


@pytest.fixture(scope="module")
def problems(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Overrides that name files of problems, enough for the recipe's batch."""
    folder = tmp_path_factory.mktemp("problems")
    return [f"data.{split}_files={_problem_file(folder / f'{split}.parquet', 100)}" for split in ("train", "val")]


def _problem_file(path: Path, count: int) -> Path:
    pyarrow.parquet.write_table(pyarrow.table({"data_source": ["toy"] * count}), path)
    return path


@pytest.fixture(scope="module")
def qwen_prm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.qwen_math_prm(tmp_path_factory.mktemp("prm") / "qwen", context=2048)


class Diagnosis:
    """What doctor printed as JSON, by check."""

    def __init__(self, status: int, printed: str):
        self.status = status
        content = json.loads(printed)
        self.ok = content["ok"]
        self.checks: dict[str, dict[str, Any]] = {check["check"]: check for check in content["checks"]}

    @property
    def failed(self) -> list[str]:
        return [name for name, check in self.checks.items() if check["state"] == "FAILED"]

    def __getitem__(self, name: str) -> dict[str, Any]:
        return self.checks[name]


@pytest.fixture
def doctor(capsys: pytest.CaptureFixture[str], policy: str, problems: list[str]) -> Any:
    def run(*arguments: str) -> Diagnosis:
        status = main(["doctor", *LAPTOP, policy, *problems, *arguments, *EIGHT_GPUS, "--json"])
        return Diagnosis(status, capsys.readouterr().out)

    return run


class TestASetUpThatTrains:
    def test_everything_is_found_and_the_exit_status_is_0(self, doctor: Any, qwen_prm: Path) -> None:
        found = doctor(f"reward.prm.model_path={qwen_prm}", *DETECTED)

        assert (found.status, found.ok, found.failed) == (0, True, [])
        assert set(found.checks) == {
            "plugin", "verl", "vllm", "transformers", "torch", "ray", "configuration", "keys", "names", "settings",
            "wiring", "platform", "sizes", "hub", "GPUs", "problems", "scorer", "policy", "folders", "texts",
            "PRM files", "PRM family", "PRM weights", "reading", "overlong", "scores",
        }  # fmt: skip
        assert found["plugin"]["details"]["trainer_modes"] == ["colocate_async", "separate_async", "sync"]
        wired = found["wiring"]["details"]
        assert "segmenter=entropy" in found["wiring"]["advice"]
        assert wired["engine"].startswith("in_process, 1 x")
        assert wired | {"engine": ""} == {
            "trainer mode": "sync",
            "credit": "prpo",
            "outcome manager": "naive",
            "outcome function": "examples/toy/reward.py:compute_score",
            "PRM": str(qwen_prm),
            "engine": "",
            "segmenter": "entropy",
            "schedule": "batch",
            "on_error": "raise",
            "overlong": "neutral",
            "thinking": "score",
        }
        assert found["PRM family"]["details"]["family"] == "qwen_math_prm"
        assert "detected from config.json" in found["PRM family"]["found"]
        assert found["reading"]["details"]["max_context"] == 2048
        assert tiny_models.SEPARATOR in found["reading"]["found"]
        assert found["overlong"]["state"] == "ok"

    def test_scores_are_those_of_the_engine(self, doctor: Any, qwen_prm: Path) -> None:
        details = doctor(f"reward.prm.model_path={qwen_prm}", *DETECTED)["scores"]["details"]

        family = QwenMathPrm.load(str(qwen_prm), device=torch.device("cpu"), dtype=torch.float32)
        good, bad = InProcessEngine(family, 16384).score(BUILT_IN.requests())
        assert details["good"] == pytest.approx(good.scores, abs=1e-6)
        assert details["bad"] == pytest.approx(bad.scores, abs=1e-6)
        assert details["drop"] == pytest.approx(good.scores[1] - bad.scores[1], abs=1e-6)

    def test_a_prm_that_sees_the_wrong_step_is_told_from_one_that_does_not(self, doctor: Any, tmp_path: Path) -> None:
        seeing = doctor(*arithmetic_prm.overrides(tmp_path / "prm"))["scores"]
        assert (seeing["state"], seeing["details"]["drop"]) == ("ok", pytest.approx(0.8))
        assert seeing["details"]["bad"] == [0.9, 0.1, 0.9, 0.9]

        example = tmp_path / "example.json"
        content = {"problem": "?", "good": ["a step\n", "an end"], "bad": ["a misstep\n", "an end"], "wrong_step": 1}
        example.write_text(json.dumps(content))
        blind = doctor(*arithmetic_prm.overrides(tmp_path / "prm"), "--example", str(example))
        assert blind["scores"]["state"] == "warning"
        assert "NOT lower" in blind["scores"]["found"]
        assert blind.status == 0

    def test_a_large_prm_is_loaded_when_asked_for_alone(
        self, doctor: Any, qwen_prm: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("verl_prpo.doctor.prm_checks.SMALL", 10)
        prm = [f"reward.prm.model_path={qwen_prm}", *DETECTED]

        unasked = doctor(*prm)
        assert [unasked[name]["state"] for name in ("PRM weights", "reading", "overlong", "scores")] == [
            "skipped", "ok", "ok", "skipped",
        ]  # fmt: skip
        assert "--load" in unasked["PRM weights"]["advice"]
        assert unasked.status == 0

        assert doctor(*prm, "--load")["scores"]["state"] in ("ok", "warning")

    def test_responses_that_would_not_fit_are_foretold(self, doctor: Any, tmp_path: Path) -> None:
        prm = arithmetic_prm.overrides(tmp_path / "prm")
        found = doctor(*prm, "data.max_response_length=3000", "++reward.prm.overlong=raise")["overlong"]

        assert found["state"] == "warning"
        assert found["details"]["worst_case"] > found["details"]["max_context"] == arithmetic_prm.CONTEXT
        assert "reward.prm.overlong=raise: such a response is a failure" in found["found"]

        limit = int(found["advice"].split("data.max_response_length to ")[1].split()[0])
        assert doctor(*prm, f"data.max_response_length={limit}")["overlong"]["state"] == "ok"
        assert doctor(*prm, f"data.max_response_length={limit + 2}")["overlong"]["state"] == "warning"

    def test_windows_are_counted_and_too_small_ones_foretold(self, doctor: Any, tmp_path: Path) -> None:
        prm = [*arithmetic_prm.overrides(tmp_path / "prm"), "++reward.prm.overlong=windows"]
        finely = ["++algorithm.prpo.segmenter=surprisal", "++algorithm.prpo.max_anchors=auto"]
        found = doctor(*prm, *finely, "data.max_response_length=3000", "data.max_prompt_length=64")["overlong"]
        about = found["details"]
        room = about["max_context"] - 64 * about["ratio"]  # but for what stands around a dialogue
        needed = (3000 * about["ratio"] - room) / (0.5 * room)
        assert found["state"] == "ok" and needed <= about["windows"] - 1 <= needed + 3
        assert f"in about {found['details']['windows']} windows" in found["found"]
        coarse = doctor(*prm, "data.max_response_length=30000", "data.max_prompt_length=64")["overlong"]
        assert coarse["state"] == "warning" and "max_anchors=auto" in coarse["advice"]
        assert "reward.prm.overlong=windows: a window has room for" in coarse["found"]

    @pytest.mark.parametrize(
        ("overrides", "check", "state", "said"),
        [
            (["++reward.prm.thinking=hide"], "thoughts", "warning", "has a tag of thoughts"),
            (["data.max_prompt_length=4096"], "overlong", "warning", "the longest problem alone fills a window"),
            ([], "overlong", "ok", "the longest response is read in about"),
            (["algorithm.prpo.tokens_per_anchor=5"], "settings", "warning", "is below algorithm.prpo.min_gap=20"),
            (["algorithm.prpo.segmenter=uniform"], "settings", "warning", "max_anchors='auto' is not read with"),
            (
                ["algorithm.prpo.segmenter=uniform"],
                "overlong",
                "warning",
                "a segment of the longest response has about",
            ),
            (["reward.prm.overlong=neutral"], "overlong", "warning", "get the prior mean (z=0)"),
        ],
    )
    def test_settings_for_long_answers(
        self,
        overrides: list[str],
        check: str,
        state: str,
        said: str,
        qwen_prm: Path,
        policy: str,
        problems: list[str],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """The recipe for thinking models, whose PRM reads 2048 tokens here."""
        recipe = ["--config-dir", str(ROOT / "recipes"), "--config-name", "prpo_qwen3_8b_dapo"]
        given = [policy, *problems, f"reward.prm.model_path={qwen_prm}", "data.train_batch_size=64"]
        main(["doctor", *recipe, *given, *overrides, *EIGHT_GPUS, "--json"])
        found = Diagnosis(0, capsys.readouterr().out)
        assert (found[check]["state"], said in found[check]["found"]) == (state, True), found[check]
        assert ("thoughts" in found.checks) is ("++reward.prm.thinking=hide" in overrides)
        advice = {"uniform": "raise algorithm.prpo.num_segments=6", "neutral": "set ++reward.prm.overlong=windows to"}
        for name, line in advice.items():
            if check == "overlong" and overrides and overrides[0].endswith(name):
                assert line in found[check]["advice"]

    def test_servers_are_asked_for_their_context_and_scores(self, doctor: Any, qwen_prm: Path) -> None:
        with FaultServer(SEPARATOR_ID, max_model_len=1000) as first, FaultServer(SEPARATOR_ID) as second:
            urls = f"++reward.prm.server.urls=[{first.url},{second.url}/v1]"
            found = doctor(f"reward.prm.model_path={qwen_prm}", *DETECTED, urls)
            assert first.requests and second.requests

        assert found.status == 0
        assert "PRM weights" not in found.checks
        assert "at 2 servers of prm" in found["PRM servers"]["found"]
        assert found["reading"]["details"]["max_context"] == 1000
        family = QwenMathPrm.open(str(qwen_prm))
        for request, scores in zip(BUILT_IN.requests(), ("good", "bad"), strict=True):
            ids = family.encode(request.messages, request.segments).input_ids
            assert found["scores"]["details"][scores] == [right for _, right in rows(ids, SEPARATOR_ID)]

    def test_a_judge_that_writes_is_asked_and_none_of_its_files_is_looked_for(self, doctor: Any) -> None:
        judge = ["reward.prm.model_path=org/judge", *DETECTED, "++reward.prm.family=generated_verdicts"]
        with chat_server(arithmetic, models=["org/judge"], max_model_len=5000) as server:
            found = doctor(*judge, f"++reward.prm.server.urls=[{server.url}]")

        assert found.status == 0
        assert "none of its files is read" in found["PRM files"]["found"] and "org/judge" not in found["hub"]["found"]
        assert "at 1 server of org/judge, of 5000 tokens" in found["PRM servers"]["found"]
        assert "that of the servers" in found["reading"]["found"] and found["overlong"]["state"] == "skipped"
        assert found["scores"]["details"]["good"] == [1.0, 1.0, 1.0, 1.0]
        assert found["scores"]["details"]["bad"] == [1.0, 0.0, 1.0, 1.0]

    def test_a_judge_that_writes_no_verdict_or_is_at_no_server(self, doctor: Any) -> None:
        judge = ["reward.prm.model_path=judge", *DETECTED, "++reward.prm.family=generated_verdicts"]
        with chat_server(lambda number, body: says("All fine.")) as server:
            found = doctor(*judge, f"++reward.prm.server.urls=[{server.url}]")
        assert (found.status, found.failed) == (1, ["PRM servers"])
        assert "does not end with a JSON object" in found["PRM servers"]["found"]
        found = doctor(*judge)
        assert found.failed == ["settings"] and "++reward.prm.server.urls=" in found["settings"]["found"]

    @pytest.mark.parametrize("engine", ["in_process", "server"])
    def test_a_family_that_servers_cannot_hold(self, engine: str, doctor: Any, tmp_path: Path) -> None:
        policy, reference = tiny_causal_prms.implicit_pair(tmp_path, context=2048)
        prm = [f"reward.prm.model_path={policy}", *DETECTED, "++reward.prm.family=implicit_prm"]
        prm += [f"++reward.prm.family_options.reference_model_path={reference}"]
        if engine == "in_process":
            found = doctor(*prm)
            assert (found.status, found["reading"]["state"]) == (0, "ok")
            assert "in process only" in found["PRM family"]["found"]
        else:
            with FaultServer(SEPARATOR_ID) as server:
                found = doctor(*prm, f"++reward.prm.server.urls=[{server.url}]")
            assert (found.status, found.failed) == (1, ["PRM servers"])
            assert "reward.prm.engine=in_process" in found["PRM servers"]["found"]

    def test_without_process_scores_no_prm_is_asked_for(self, doctor: Any) -> None:
        found = doctor("++algorithm.prpo.credit=outcome", "reward.prm.model_path=null")
        assert found.status == 0
        assert found["PRM"]["state"] == "skipped"

    def test_what_its_user_may_not_expect_is_a_warning(self, doctor: Any, tmp_path: Path) -> None:
        found = doctor(*arithmetic_prm.overrides(tmp_path / "prm"), "actor_rollout_ref.rollout.n=1")
        assert found["settings"]["state"] == "warning"
        assert "actor_rollout_ref.rollout.n=1" in found["settings"]["found"]
        assert found.status == 0


class TestASetUpThatDoesNot:
    def test_no_prm(self, doctor: Any) -> None:
        found = doctor("reward.prm.model_path=null")
        assert (found.status, found.failed) == (1, ["settings"])
        assert "reward.prm.model_path" in found["settings"]["found"]

    def test_a_mistyped_key(self, doctor: Any, qwen_prm: Path) -> None:
        found = doctor(f"reward.prm.model_path={qwen_prm}", "++reward.prm.on_eror=raise")
        assert (found.status, found.failed) == (1, ["settings"])
        assert "did you mean reward.prm.on_error?" in found["settings"]["found"]

    def test_a_key_that_hydra_does_not_know(self, doctor: Any) -> None:
        found = doctor("reward.prm.overlong=raise")
        assert (found.status, found.failed) == (1, ["configuration"])
        assert "++reward.prm" in found["configuration"]["advice"]

    def test_a_mistyped_key_that_hydra_does_not_know(self, doctor: Any) -> None:
        found = doctor("reward.prm.modle_path=x")
        assert (found.status, found.failed) == (1, ["configuration"])
        assert "did you mean reward.prm.model_path?" in found["configuration"]["advice"]

    def test_a_setting_that_verl_refuses(self, doctor: Any, qwen_prm: Path) -> None:
        found = doctor(f"reward.prm.model_path={qwen_prm}", *DETECTED, "actor_rollout_ref.actor.use_dynamic_bsz=false")
        assert (found.status, found.failed) == (1, ["settings"])
        assert "'actor.ppo_micro_batch_size_per_gpu' if use_dynamic_bsz is not" in found["settings"]["found"]

    def test_a_recipe_that_is_not_there(self, capsys: pytest.CaptureFixture[str]) -> None:
        status = main(["doctor", "--config-name", "no_such_recipe", "--json"])
        found = Diagnosis(status, capsys.readouterr().out)
        assert (found.status, found.failed) == (1, ["configuration"])
        assert "no_such_recipe" in found["configuration"]["found"]

    def test_a_model_that_is_not_there(self, doctor: Any, tmp_path: Path) -> None:
        found = doctor(f"reward.prm.model_path={tmp_path / 'none'}", *DETECTED)
        assert (found.status, found.failed) == (1, ["PRM files"])
        assert "no such folder" in found["PRM files"]["found"]

    def test_a_family_that_does_not_fit(self, doctor: Any, qwen_prm: Path) -> None:
        found = doctor(f"reward.prm.model_path={qwen_prm}", *DETECTED, "++reward.prm.family=zero_shot_judge")
        assert (found.status, found.failed) == (1, ["PRM family"])
        assert "qwen_math_prm" in found["PRM family"]["found"]

    def test_a_tokenizer_without_the_separator(self, doctor: Any, tmp_path: Path) -> None:
        prm = tiny_models.qwen_math_prm(tmp_path / "prm", separator=None)
        found = doctor(f"reward.prm.model_path={prm}", *DETECTED)
        assert (found.status, found.failed) == (1, ["PRM family"])
        assert tiny_models.SEPARATOR in found["PRM family"]["found"]

    def test_a_tokenizer_without_a_chat_template(self, doctor: Any, tmp_path: Path) -> None:
        prm = tiny_models.qwen_math_prm(tmp_path / "prm")
        settings = json.loads((prm / "tokenizer_config.json").read_text())
        settings.pop("chat_template", None)
        (prm / "tokenizer_config.json").write_text(json.dumps(settings))
        (prm / "chat_template.jinja").unlink(missing_ok=True)
        found = doctor(f"reward.prm.model_path={prm}", *DETECTED)
        assert (found.status, found.failed) == (1, ["PRM family"])
        assert "has no chat template" in found["PRM family"]["found"]
        assert "reward.prm.custom_family" in found["PRM family"]["found"]

    def test_weights_without_a_head(self, doctor: Any, tmp_path: Path) -> None:
        prm = tiny_models.qwen_math_prm(tmp_path / "prm", head=False)
        found = doctor(f"reward.prm.model_path={prm}", *DETECTED)
        assert (found.status, found.failed) == (1, ["PRM weights"])
        assert found["scores"]["state"] == "skipped"

    def test_weights_that_give_no_numbers(self, doctor: Any, tmp_path: Path) -> None:
        prm = tiny_models.qwen_math_prm(tmp_path / "prm", damaged=True, context=2048)
        found = doctor(f"reward.prm.model_path={prm}", *DETECTED)
        assert (found.status, found.failed) == (1, ["scores"])
        assert "non_finite" in found["scores"]["found"]

    def test_a_credit_that_reads_another_scale(self, doctor: Any, tmp_path: Path) -> None:
        policy, reference = tiny_causal_prms.implicit_pair(tmp_path, context=2048)
        prm = [f"reward.prm.model_path={policy}", *DETECTED, "++reward.prm.family=implicit_prm"]
        prm += [f"++reward.prm.family_options.reference_model_path={reference}"]
        found = doctor(*prm, "++algorithm.prpo.credit=pure")
        assert (found.status, found.failed) == (1, ["reading"])
        assert "algorithm.prpo.credit=pure" in found["reading"]["found"]

    def test_a_server_that_is_not_up(self, doctor: Any, qwen_prm: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        found = doctor(f"reward.prm.model_path={qwen_prm}", *DETECTED, f"++reward.prm.server.urls=[{url}]")
        assert (found.status, found.failed) == (1, ["PRM servers"])
        assert url in found["PRM servers"]["found"]
        assert found["wiring"]["details"]["engine"].startswith("server")
        assert found["reading"]["state"] == "ok"
        assert found["scores"]["state"] == "skipped"

    def test_servers_that_hang(self, doctor: Any, qwen_prm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("verl_prpo.prm.server.servers.CHECK_TIMEOUT", 0.5)
        prm = [f"reward.prm.model_path={qwen_prm}", *DETECTED]
        with FaultServer(SEPARATOR_ID, health=0) as silent:
            found = doctor(*prm, f"++reward.prm.server.urls=[{silent.url}]")
        assert (found.status, found.failed) == (1, ["PRM servers"])
        assert silent.url in found["PRM servers"]["found"]

        with FaultServer(SEPARATOR_ID, lambda number, ids: "hang") as idle:
            waits = ["++reward.prm.server.request_timeout=0.5", "++reward.prm.server.retries=0"]
            found = doctor(*prm, *waits, f"++reward.prm.server.urls=[{idle.url}]")
        assert (found.status, found.failed) == (1, ["PRM servers"])
        assert "timeout" in found["PRM servers"]["found"]

    def test_a_plugin_that_verl_may_not_load(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("VERL_USE_EXTERNAL_PLUGINS", "none")
        with pytest.raises(CheckFailed, match="VERL_USE_EXTERNAL_PLUGINS=none"):
            installation.plugin()


class TestProblems:
    def test_missing_files_fail_each_with_its_name(self, doctor: Any, tmp_path: Path) -> None:
        prm = arithmetic_prm.overrides(tmp_path / "prm")
        found = doctor(*prm, "data.train_files=/no/such/a.parquet", "data.val_files=[/no/such/b.parquet,/no/c.json]")

        assert (found.status, found.failed) == (1, ["problems"])
        for file in ("train_files=/no/such/a.parquet", "val_files=/no/such/b.parquet", "val_files=/no/c.json"):
            assert f"data.{file}: no such file" in found["problems"]["found"]
        assert "set data.train_files" in found["problems"]["advice"]
        assert found["scores"]["state"] == "ok"

    def test_those_of_a_recipe_are_written_by_the_data_command(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        config = _composed("prpo_qwen2.5_math_1.5b")
        with pytest.raises(CheckFailed) as failed:
            run_checks.problems(config)
        folder = tmp_path / "data" / "math"
        assert failed.value.advice == f"verl-prpo data math --out {folder}; verl-prpo data math500 --out {folder}"

        folder.mkdir(parents=True)
        _problem_file(folder / "math.parquet", 128)
        _problem_file(folder / "math500.parquet", 5)
        assert run_checks.problems(config).details["problems"] == {"data.train_files": 128, "data.val_files": 5}

    def test_a_tilde_which_nothing_in_verl_expands_fails(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        _problem_file(tmp_path / "toy.parquet", 64)
        files = ["data.train_files='~/toy.parquet'", f"data.val_files={tmp_path}/toy.parquet"]
        with pytest.raises(CheckFailed, match="takes the ~ as it stands") as failed:
            run_checks.problems(_composed("prpo_laptop", *files))
        assert failed.value.advice == f"write data.train_files={tmp_path}/toy.parquet"

    def test_hdfs_is_not_looked_at(self) -> None:
        files = ["data.train_files=hdfs://far/a.parquet", "data.val_files=hdfs://far/b.parquet"]
        found = run_checks.problems(_composed("prpo_laptop", *files))
        assert found.state is State.OK
        assert found.found.count("on HDFS, not checked") == 2

    def test_files_that_hold_no_problems(self, tmp_path: Path) -> None:
        (tmp_path / "broken.parquet").write_text("no parquet")
        (tmp_path / "problems.csv").write_text("a,b")
        files = [f"data.train_files={tmp_path}/broken.parquet", f"data.val_files={tmp_path}/problems.csv"]
        with pytest.raises(CheckFailed, match=r"broken\.parquet cannot be read(.|\n)*problems\.csv: verl reads"):
            run_checks.problems(_composed("prpo_laptop", *files))

    def test_fewer_than_a_batch_fail(self, tmp_path: Path, problems: list[str]) -> None:
        few = f"data.train_files={_problem_file(tmp_path / 'few.parquet', 3)}"
        with pytest.raises(CheckFailed, match="3 problems to train on do not fill one batch") as failed:
            run_checks.problems(_composed("prpo_laptop", *problems, few))
        assert "data.train_batch_size to 3 or less" in failed.value.advice
        with pytest.raises(CheckFailed, match="2 problems to train on"):
            run_checks.problems(_composed("prpo_laptop", *problems, "data.train_max_samples=2"))


class TestScorer:
    """verl's own scorer goes by the column `data_source`."""

    def test_a_source_that_it_does_not_know_fails_with_what_gives_another_scorer(self, tmp_path: Path) -> None:
        train = _sources(tmp_path / "train.parquet", "openai/gsm8k", "own/problems", None)
        val = _sources(tmp_path / "val.parquet", "gsm8k")
        files = [f"data.train_files={train}", f"data.val_files={val}"]
        with pytest.raises(CheckFailed, match=r"data_source None, 'own/problems'\n.*data_source 'gsm8k'") as failed:
            scorer(_grpo(*files))
        assert "set reward.reward_manager.name=math_verifier" in failed.value.advice
        assert "if 'gsm8k' is 'openai/gsm8k'" in failed.value.advice
        with pytest.raises(CheckFailed, match="own/problems"):  # dapo asks the same scorer, and so does PRPO
            scorer(_grpo(*files, "reward.reward_manager.name=dapo", "algorithm.adv_estimator=prpo"))

    @pytest.mark.parametrize(
        "settings",
        [
            ["reward.reward_manager.name=math_verifier"],
            ["reward.custom_reward_function.path=/my/reward.py"],
            ["reward.reward_manager.source=importlib", "reward.reward_manager.module.path=/my/manager.py"],
            ["reward.reward_model.enable=True"],
            ["data.custom_cls.path=/my/dataset.py"],
        ],
    )
    def test_it_is_not_asked_where_another_scores(self, settings: list[str], tmp_path: Path) -> None:
        files = [f"data.{split}_files={_sources(tmp_path / f'{split}.parquet', 'own')}" for split in ("train", "val")]
        found = scorer(_grpo(*files, *settings))
        assert found.state is State.SKIPPED
        assert settings[0].partition("=")[0] in found.found

    def test_sources_that_it_knows_pass(self, tmp_path: Path) -> None:
        train = _sources(tmp_path / "train.parquet", "openai/gsm8k", "apps", "aime2024", "math_dapo")
        val = tmp_path / "val.jsonl"
        val.write_text('{"data_source": "lighteval/MATH"}\n')
        found = scorer(_grpo(f"data.train_files={train}", f"data.val_files={val}"))
        assert (found.state, found.details["sources"][str(val)]) == (State.OK, ["lighteval/MATH"])

    @pytest.mark.parametrize(
        ("content", "said"), [('[{"data_source": "own"}]', "'own'"), ('{"prompt": 1}', "no column")]
    )
    def test_json_and_missing_columns(self, content: str, said: str, tmp_path: Path) -> None:
        (tmp_path / "a.json").write_text(content)
        with pytest.raises(CheckFailed, match=said):
            scorer(_grpo(f"data.train_files={tmp_path / 'a.json'}", f"data.val_files={tmp_path / 'none.parquet'}"))

    def test_files_that_are_missing_are_left_to_the_row_on_problems(self, tmp_path: Path) -> None:
        files = [f"data.{split}_files={tmp_path / split}.parquet" for split in ("train", "val")]
        assert scorer(_grpo(*files)).state is State.SKIPPED


def _sources(path: Path, *names: str | None) -> Path:
    pyarrow.parquet.write_table(pyarrow.table({"data_source": list(names)}), path)
    return path


def _grpo(*overrides: str) -> DictConfig:
    return compose(TrainingArguments(overrides))


class TestPolicy:
    @pytest.mark.parametrize("path", ["/no/such/folder", "./no_such_folder", "~/no_such_folder", "no/such/folder"])
    def test_a_folder_that_is_not_there_fails(self, path: str) -> None:
        with pytest.raises(CheckFailed, match="no such folder"):
            run_checks.policy(_composed("prpo_laptop", f"actor_rollout_ref.model.path='{path}'"))

    def test_a_folder_without_a_model_fails(self, tmp_path: Path, doctor: Any) -> None:
        prm = arithmetic_prm.overrides(tmp_path / "prm")
        (tmp_path / "empty").mkdir()
        found = doctor(*prm, f"actor_rollout_ref.model.path={tmp_path / 'empty'}")
        assert (found.status, found.failed) == (1, ["policy"])
        assert "without a config.json" in found["policy"]["found"]

    def test_a_name_of_the_hub_is_sought_in_its_cache(self) -> None:
        found = run_checks.policy(_composed("prpo_laptop", "actor_rollout_ref.model.path=no-such/model"))
        assert found.state is State.WARNING
        assert "not looked up" in found.found

    def test_hdfs_is_not_looked_at(self) -> None:
        found = run_checks.policy(_composed("prpo_laptop", "actor_rollout_ref.model.path=hdfs://far/model"))
        assert found.state is State.SKIPPED


class TestSizes:
    RECIPE = "prpo_qwen2.5_math_1.5b"

    @pytest.mark.parametrize("recipe", RECIPES)
    def test_those_of_the_recipes_divide(self, recipe: str) -> None:
        assert run_checks.sizes(_composed(recipe)).state is State.OK

    def test_a_mini_batch_must_divide_over_the_processes(self) -> None:
        gpus = ["trainer.nnodes=3", "trainer.n_gpus_per_node=4"]
        with pytest.raises(CheckFailed, match=r"1024 responses .* does not divide over 12 data-parallel") as failed:
            run_checks.sizes(_composed(self.RECIPE, *gpus))
        assert failed.value.advice == f"set data.train_batch_size=126 {MINI}=126"
        sizes = failed.value.advice.removeprefix("set ").split(" ")
        assert run_checks.sizes(_composed(self.RECIPE, *gpus, *sizes)).state is State.OK

    def test_sequence_parallel_processes_share_a_response(self) -> None:
        gpus = ["trainer.nnodes=3", "trainer.n_gpus_per_node=4"]
        shared = "actor_rollout_ref.actor.ulysses_sequence_parallel_size"
        assert run_checks.sizes(_composed(self.RECIPE, *gpus, f"{shared}=3")).details["data_parallel"] == 4
        with pytest.raises(CheckFailed, match=r"12 processes .* are no multiple of 5"):
            run_checks.sizes(_composed(self.RECIPE, *gpus, f"{shared}=5"))

    def test_megatron_divides_the_processes(self) -> None:
        recipe, tensor = "prpo_megatron_qwen2.5_math_7b", "actor_rollout_ref.actor.megatron.tensor_model_parallel_size"
        whole = run_checks.sizes(_composed(recipe)).details
        assert whole["data_parallel"] < whole["processes"]
        with pytest.raises(CheckFailed, match="tensor_model_parallel_size=3"):
            run_checks.sizes(_composed(recipe, f"{tensor}=3"))

    def test_a_batch_smaller_than_a_mini_batch_is_a_warning(self) -> None:
        found = run_checks.sizes(_composed(self.RECIPE, "data.train_batch_size=64"))
        assert found.state is State.WARNING
        assert "padding" in found.found
        assert found.advice == f"set {MINI}=64, or data.train_batch_size=128"

    def test_the_sizes_advised_divide_together(self) -> None:
        """A batch of 250 and a micro-batch of 4: a divisor of 250 alone would leave 125 x 8 / 4 responses to divide."""
        asked = [*GRPO, "trainer.n_gpus_per_node=4", "actor_rollout_ref.rollout.n=8"]
        asked += ["data.train_batch_size=250", f"{MINI}=64", f"{MICRO}=4", f"{READ_MICRO}=32"]
        found = run_checks.sizes(compose(TrainingArguments(asked)))
        assert found.state is State.WARNING
        ways = found.advice.removeprefix("set ").split(", or ")
        assert ways == ["data.train_batch_size=192", f"{MINI}=50 {READ_MICRO}=25"]
        for way in ways:
            advised = run_checks.sizes(compose(TrainingArguments([*asked, *way.split(" ")])))
            assert (advised.state, advised.advice) == (State.OK, "")

    @pytest.mark.parametrize(
        ("gpus", "first"),
        [
            (6, ["data.train_batch_size=1008", f"{MINI}=252"]),
            (3, [f"{TENSOR}=1", "data.train_batch_size=1020", f"{MINI}=255"]),
        ],
    )
    def test_a_number_of_gpus_that_verl_refuses_gets_sizes_that_it_takes(self, gpus: int, first: list[str]) -> None:
        asked = [*GRPO, f"trainer.n_gpus_per_node={gpus}"]
        with pytest.raises(CheckFailed, match="real_train_batch_size") as failed:
            wiring.settings(compose(TrainingArguments(asked)))
        advised = failed.value.advice.removeprefix("set ").split(" ")
        assert advised[: len(first)] == first
        config = compose(TrainingArguments([*asked, *advised]))
        assert (wiring.settings(config).state, run_checks.sizes(config).state) == (State.OK, State.OK)

    def test_separate_async_takes_whole_mini_batches(self) -> None:
        with pytest.raises(CheckFailed, match="separate_async") as failed:
            run_checks.sizes(_composed("prpo_separate_async_qwen2.5_math_7b", "data.train_batch_size=1"))
        advised = failed.value.advice.removeprefix("set ")
        assert run_checks.sizes(_composed("prpo_separate_async_qwen2.5_math_7b", advised)).state is State.OK

    def test_attention_heads_must_divide_over_the_servers(self, tmp_path: Path) -> None:
        Qwen2Config(num_attention_heads=12).save_pretrained(tmp_path)
        sizes = ["trainer.n_gpus_per_node=8", "actor_rollout_ref.rollout.tensor_model_parallel_size=8"]
        named = f"actor_rollout_ref.model.path={tmp_path}"
        with pytest.raises(CheckFailed, match=r"12 attention heads do not divide over .*tensor_model_parallel_size=8"):
            run_checks.sizes(_composed(self.RECIPE, named, *sizes))
        assert run_checks.sizes(_composed(self.RECIPE, named, *sizes[:1])).state is State.OK


class TestKeys:
    @pytest.mark.parametrize("recipe", RECIPES)
    def test_those_of_the_recipes_are_known(self, recipe: str) -> None:
        found = key_checks.keys(_composed(recipe))
        assert (found.state, found.details) == (State.OK, {})

    def test_free_sections_take_any(self) -> None:
        free = [
            "+actor_rollout_ref.rollout.engine_kwargs.vllm.some_option=1",
            "+actor_rollout_ref.model.override_config.some_option=1",
            "+ray_kwargs.ray_init.some_option=1",
            "+data.apply_chat_template_kwargs.enable_thinking=false",
            "++actor_rollout_ref.rollout.enable_sleep_mode=false",
            "++actor_rollout_ref.actor.fsdp_config.mixed_precision.param_dtype=fp32",
            "+reward.custom_reward_function.reward_kwargs.some_option=1",
        ]
        assert key_checks.keys(_composed("prpo_laptop", *free)).state is State.OK

    def test_one_that_verl_lacks_is_a_warning_with_the_nearest(self, doctor: Any, tmp_path: Path) -> None:
        prm = arithmetic_prm.overrides(tmp_path / "prm")
        found = doctor(*prm, "+data.train_bach_size=64", "+trainer.entirely_unheard_of=1")

        assert (found.status, found["keys"]["state"]) == (0, "warning")
        assert found["keys"]["found"].splitlines() == [
            "data.train_bach_size: verl has no such key; did you mean data.train_batch_size?",
            "trainer.entirely_unheard_of: verl has no such key",
        ]

    def test_one_that_hydra_refuses_gets_the_nearest_too(self, doctor: Any) -> None:
        found = doctor("data.train_bach_size=64")
        assert (found.status, found.failed) == (1, ["configuration"])
        assert found["configuration"]["advice"] == "data.train_bach_size: did you mean data.train_batch_size?"


class TestNames:
    def test_a_mistyped_recipe_gets_the_nearest(self, doctor: Any) -> None:
        found = doctor("--config-name", "prpo_labtop")
        assert (found.status, found.failed) == (1, ["configuration"])
        assert found["configuration"]["found"] == "--config-name prpo_labtop: no such recipe"
        assert found["configuration"]["advice"] == "did you mean --config-name prpo_laptop?"

    def test_one_like_no_other_gets_all(self, doctor: Any) -> None:
        advice = doctor("--config-name", "zzz")["configuration"]["advice"]
        assert all(recipe in advice for recipe in RECIPES)

    def test_a_recipe_given_as_an_override_gets_the_options(self, capsys: pytest.CaptureFixture[str]) -> None:
        status = main(["doctor", "prpo_laptop", "--json"])
        found = Diagnosis(status, capsys.readouterr().out)
        assert (found.status, found.failed) == (1, ["configuration"])
        assert "--config-dir recipes --config-name NAME" in found["configuration"]["advice"]

    def test_a_hub_that_cannot_be_reached_is_told_from_a_model_that_it_lacks(
        self, doctor: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        found = doctor("reward.prm.model_path=no-such/prm", *DETECTED)
        assert (found.status, found.failed) == (1, ["PRM files"])
        assert "the hub cannot be reached from here, and its cache has no no-such/prm" in found["PRM files"]["found"]
        assert "reward.prm.model_path=FOLDER" in found["PRM files"]["advice"]


def _composed(recipe: str, *overrides: str) -> DictConfig:
    return copy.deepcopy(_composed_once(recipe, *overrides))


@functools.cache
def _composed_once(recipe: str, *overrides: str) -> DictConfig:
    return compose(TrainingArguments(overrides, str(ROOT / "recipes"), None, recipe))


class TestVersions:
    def test_installed_ones_are_held_against_the_packages_own_metadata(self) -> None:
        found = installation.version("verl")
        assert found.state is State.OK
        assert any("verl-prpo" in wanted for wanted in found.details["ranges"])

    def test_one_out_of_range_is_a_warning(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(installation, "_installed", lambda package: (package, "0.10.2"))
        found = installation.version("verl")
        assert found.state is State.WARNING
        assert "0.10.2, but verl-prpo asks for" in found.found

    def test_one_that_is_missing_is_a_warning(self) -> None:
        assert installation.version("no-such-package").state is State.WARNING


class TestCommandLine:
    def test_a_dump_that_is_not_there_is_an_error_whatever_cuts(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for estimator in ("grpo", "prpo"):
            words = [f"algorithm.adv_estimator={estimator}", "--dump", str(tmp_path / "none")]
            assert main(["doctor", *LAPTOP, *words]) == 2
            assert f"--dump {tmp_path}/none: no such folder or file" in capsys.readouterr().err

    def test_warnings_of_verl_on_accelerators_are_kept_out(self) -> None:
        environment = {name: value for name, value in os.environ.items() if name != "VERL_PLATFORM"}
        code = "import verl.plugin.platform as p; p.get_platform()"
        verl = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
        )
        if "No supported accelerator" not in verl.stderr:
            pytest.skip("an accelerator is here, so verl has nothing to warn of")
        recipe = [sys.executable, "-m", "verl_prpo", "recipe", "prpo_laptop"]
        shown = subprocess.run(recipe, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert (shown.returncode, shown.stderr) == (0, "")

    def test_arguments_that_cannot_be_read_have_exit_status_2(self, capsys: pytest.CaptureFixture[str]) -> None:
        for words in (["no-such-command"], ["doctor", "--no-such-option"]):
            with pytest.raises(SystemExit) as stopped:
                main(words)
            assert stopped.value.code == 2
        assert "doctor" in capsys.readouterr().err
        assert main(["doctor", "--example", "no/such/file"]) == 2
        assert main(["doctor", "--nodes", "2"]) == 2
        assert main(["doctor", "--gpus", "0"]) == 2

    def test_the_table_in_a_pipe_has_no_colour(self, policy: str, tmp_path: Path) -> None:
        command = [sys.executable, "-m", "verl_prpo.cli.main", "doctor", *LAPTOP, policy]
        command += [*arithmetic_prm.overrides(tmp_path / "prm"), "++reward.prm.timeout=-1", *EIGHT_GPUS]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert ran.returncode == 1, ran.stderr
        assert "\x1b" not in ran.stdout
        assert "reward.prm.timeout=-1" in ran.stdout
        assert "something would fail" in ran.stdout.splitlines()[-1]

    def test_overrides_may_stand_between_options(self) -> None:
        from verl_prpo.cli.doctor import parser

        parsed = parser("doctor").parse_intermixed_args(["a=1", "--config-name", "x", "+b=2", "--json", "~c"])
        assert parsed.overrides == ["a=1", "+b=2", "~c"]
        assert (parsed.config_name, parsed.json) == ("x", True)


class TestComposition:
    def test_it_is_that_of_main_ppo(self) -> None:
        from verl_configs import compose as reference

        arguments = TrainingArguments(("data.seed=7",), str(ROOT / "recipes"), None, "prpo_laptop")
        assert compose(arguments) == reference("prpo_laptop", ["data.seed=7"], config_dir=ROOT / "recipes")

    def test_a_folder_that_is_not_there_is_named(self) -> None:
        with pytest.raises(NotADirectoryError, match="--config-dir: /no/such/folder"):
            compose(TrainingArguments((), "/no/such/folder"))
        with pytest.raises(NotADirectoryError, match="--config-path: /no/such/folder"):
            compose(TrainingArguments((), None, "/no/such/folder"))


class TestReport:
    @pytest.mark.parametrize("columns", ["80", "100", "120"])
    def test_the_name_of_a_setting_is_not_broken(
        self, columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("COLUMNS", columns)
        table = CheckTable()
        report = Report(table)
        name = "reward.prm.server.prompts_per_request"
        report.run("a check", lambda: Finding("found", State.WARNING, f"lower {name}"))
        table.close(report)

        printed = capsys.readouterr().out
        assert name in printed
        assert max(map(len, printed.splitlines())) <= int(columns)

    def test_an_error_inside_a_check_is_its_failure(self) -> None:
        report = Report()
        assert report.run("broken", lambda: Finding(str(1 / 0))) is None
        assert report.failed
        assert report.checks[0].found == "ZeroDivisionError: division by zero"

    def test_a_check_that_hangs_is_left_behind(self) -> None:
        with pytest.raises(CheckFailed, match=r"the hub takes longer than 0\.01 s"):
            within(0.01, "the hub", threading.Event().wait)


class TestWorkedExample:
    def test_the_built_in_one_errs_where_it_says(self) -> None:
        assert [arithmetic_prm.score(step) for step in BUILT_IN.good] == [0.9] * 4
        assert [arithmetic_prm.score(step) for step in BUILT_IN.bad] == [0.9, 0.1, 0.9, 0.9]

    def test_one_that_errs_elsewhere_is_refused(self) -> None:
        with pytest.raises(ValueError, match="must agree before step 2"):
            WorkedExample("?", ["a", "b"], ["x", "c"], 1)

    def test_a_file_must_hold_every_part(self, tmp_path: Path) -> None:
        (tmp_path / "example.json").write_text('{"problem": "?"}')
        with pytest.raises(ValueError, match="wrong_step"):
            read_example(tmp_path / "example.json")
