# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`verl-prpo doctor` on set-ups that would train and on ones that would not."""

import json
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import arithmetic_prm
import pytest
import tiny_causal_prms
import tiny_models
import torch
from fault_server import FaultServer, rows

from verl_prpo.cli import installation
from verl_prpo.cli.main import main
from verl_prpo.cli.report import CheckFailed, Finding, Report, State, within
from verl_prpo.cli.training_config import TrainingArguments, compose
from verl_prpo.cli.worked_example import BUILT_IN, WorkedExample, read_example
from verl_prpo.prm.engine import InProcessEngine
from verl_prpo.prm.families.qwen_math import QwenMathPrm

ROOT = Path(__file__).parents[2]
LAPTOP = ["--config-dir", str(ROOT / "recipes"), "--config-name", "prpo_laptop"]
DETECTED = ["reward.prm.custom_family.path=null", "reward.prm.custom_family.name=null"]

SEPARATOR_ID = tiny_models.qwen_tokenizer().convert_tokens_to_ids(tiny_models.SEPARATOR)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("policy")
    tiny_models.qwen_tokenizer().save_pretrained(path)
    return f"actor_rollout_ref.model.path={path}"


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
def doctor(capsys: pytest.CaptureFixture[str], policy: str) -> Any:
    def run(*arguments: str) -> Diagnosis:
        status = main(["doctor", *LAPTOP, policy, *arguments, "--json"])
        return Diagnosis(status, capsys.readouterr().out)

    return run


class TestASetUpThatTrains:
    def test_everything_is_found_and_the_exit_status_is_0(self, doctor: Any, qwen_prm: Path) -> None:
        found = doctor(f"reward.prm.model_path={qwen_prm}", *DETECTED)

        assert (found.status, found.ok, found.failed) == (0, True, [])
        assert set(found.checks) == {
            "plugin", "verl", "vllm", "transformers", "torch", "ray", "configuration", "settings", "wiring", "platform",
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
        }
        assert found["PRM family"]["details"]["family"] == "qwen_math_prm"
        assert "told from config.json" in found["PRM family"]["found"]
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
        monkeypatch.setattr("verl_prpo.cli.prm_checks.SMALL", 10)
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
        found = doctor(*prm, "data.max_response_length=3000", "++reward.prm.overlong=truncate")["overlong"]

        assert found["state"] == "warning"
        assert found["details"]["worst_case"] > found["details"]["max_context"] == arithmetic_prm.CONTEXT
        assert "reward.prm.overlong=truncate: segments past the context get the last score" in found["found"]

        limit = int(found["advice"].split("data.max_response_length to ")[1].split()[0])
        assert doctor(*prm, f"data.max_response_length={limit}")["overlong"]["state"] == "ok"
        assert doctor(*prm, f"data.max_response_length={limit + 2}")["overlong"]["state"] == "warning"

    def test_servers_are_asked_for_their_context_and_scores(self, doctor: Any, qwen_prm: Path) -> None:
        with FaultServer(SEPARATOR_ID, max_model_len=1000) as first, FaultServer(SEPARATOR_ID) as second:
            urls = f"++reward.prm.server_urls=[{first.url},{second.url}/v1]"
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
                found = doctor(*prm, f"++reward.prm.server_urls=[{server.url}]")
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

    def test_another_estimator(self, doctor: Any) -> None:
        found = doctor("algorithm.adv_estimator=grpo")
        assert (found.status, found.failed) == (1, ["settings"])
        assert "algorithm.adv_estimator=prpo" in found["settings"]["advice"]

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
        assert "validate_config" in found["settings"]["found"]

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
        found = doctor(f"reward.prm.model_path={qwen_prm}", *DETECTED, f"++reward.prm.server_urls=[{url}]")
        assert (found.status, found.failed) == (1, ["PRM servers"])
        assert url in found["PRM servers"]["found"]
        assert found["wiring"]["details"]["engine"].startswith("server")
        assert found["reading"]["state"] == "ok"
        assert found["scores"]["state"] == "skipped"

    def test_servers_that_hang(self, doctor: Any, qwen_prm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("verl_prpo.prm.servers.CHECK_TIMEOUT", 0.5)
        prm = [f"reward.prm.model_path={qwen_prm}", *DETECTED]
        with FaultServer(SEPARATOR_ID, health=0) as silent:
            found = doctor(*prm, f"++reward.prm.server_urls=[{silent.url}]")
        assert (found.status, found.failed) == (1, ["PRM servers"])
        assert silent.url in found["PRM servers"]["found"]

        with FaultServer(SEPARATOR_ID, lambda number, ids: "hang") as idle:
            waits = ["++reward.prm.server_request_timeout=0.5", "++reward.prm.server_retries=0"]
            found = doctor(*prm, *waits, f"++reward.prm.server_urls=[{idle.url}]")
        assert (found.status, found.failed) == (1, ["PRM servers"])
        assert "timeout" in found["PRM servers"]["found"]

    def test_a_plugin_that_verl_may_not_load(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("VERL_USE_EXTERNAL_PLUGINS", "none")
        with pytest.raises(CheckFailed, match="VERL_USE_EXTERNAL_PLUGINS=none"):
            installation.plugin()


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
    def test_arguments_that_cannot_be_read_have_exit_status_2(self, capsys: pytest.CaptureFixture[str]) -> None:
        for words in ([], ["no-such-command"], ["doctor", "--no-such-option"]):
            with pytest.raises(SystemExit) as stopped:
                main(words)
            assert stopped.value.code == 2
        assert "doctor" in capsys.readouterr().err
        assert main(["doctor", "--example", "no/such/file"]) == 2

    def test_the_table_in_a_pipe_has_no_colour(self, policy: str, tmp_path: Path) -> None:
        command = [sys.executable, "-m", "verl_prpo.cli.main", "doctor", *LAPTOP, policy]
        command += [*arithmetic_prm.overrides(tmp_path / "prm"), "++reward.prm.timeout=-1"]
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
        report = Report()
        name = "reward.prm.server_prompts_per_request"
        report.run("a check", lambda: Finding("found", State.WARNING, f"lower {name}"))

        report.print_table()

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
