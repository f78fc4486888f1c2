# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The settings: the paper's defaults, mistakes named before Ray starts, and the wiring of the reward manager."""

import re
from typing import Any, get_args

import pytest
import ray
from omegaconf import DictConfig, OmegaConf
from verl.experimental.reward_loop.reward_manager import DAPORewardManager, RemoteRewardManager
from verl.trainer.ppo.reward import resolve_reward_manager_cls
from verl_configs import grpo, prpo, validate

from verl_prpo.method.advantage import (
    CREDITS,
    OUTCOME_NORMS,
    PROCESS_NORMS,
    Credit,
    OutcomeNorm,
    ProcessNorm,
    prpo_advantage,
)
from verl_prpo.method.segmentation import ANCHOR_RULES, AnchorRule, entropy_segments
from verl_prpo.settings.prpo import (
    ConfigError,
    PrmConfig,
    PrpoConfig,
    engine_of,
    needs_prm,
    prm_config,
    prpo_config,
    tokens_per_forward,
    uses_prpo,
)
from verl_prpo.settings.typed import read_escapes, typed_section
from verl_prpo.trainer.checks.config_check import check_config, notices
from verl_prpo.trainer.reward_manager import PrmRewardManager, outcome_config, wire


def test_defaults_are_the_papers() -> None:
    """Section 4 of arXiv 2601.07182: algorithm 1 with k = 5 and m = 10, the prior's z, R - group mean."""
    assert prpo_config({}) == prpo_config(None) == PrpoConfig()
    defaults = PrpoConfig()
    assert (defaults.credit, defaults.segmenter, defaults.anchor_rule) == ("prpo", "entropy", "paper")
    assert (defaults.max_anchors, defaults.min_gap) == (5, 10)
    assert (defaults.process_norm, defaults.outcome_norm, defaults.outcome_weight) == ("prior", "mean", 1.0)
    assert (defaults.prior_mean, defaults.prior_std) == (None, None)
    assert defaults.skip_all_equal_groups is False
    assert (defaults.dump_responses, defaults.alarm_window) == (128, 40)


def test_defaults_agree_with_those_of_the_functions_they_reach() -> None:
    defaults = PrpoConfig()
    for function, names in (
        (entropy_segments, ("max_anchors", "min_gap")),
        (prpo_advantage, ("credit", "process_norm", "outcome_norm")),
    ):
        known = (function.__defaults__ or ()) + tuple((function.__kwdefaults__ or {}).values())
        assert {getattr(defaults, name) for name in names} <= set(known)


def test_the_density_of_automatic_cuts_is_that_of_the_function() -> None:
    known = entropy_segments.__kwdefaults__
    defaults = PrpoConfig(max_anchors="auto")
    assert (defaults.tokens_per_anchor, tuple(defaults.anchor_bounds)) == (100, (5, 100))
    assert known == {"tokens_per_anchor": 100, "anchor_bounds": (5, 100)}


def test_the_choices_are_those_of_the_method() -> None:
    for kind, names in ((Credit, CREDITS), (ProcessNorm, PROCESS_NORMS), (OutcomeNorm, OUTCOME_NORMS)):
        assert get_args(kind) == names
    assert get_args(AnchorRule) == ANCHOR_RULES


def test_a_prm_needs_nothing_but_its_path() -> None:
    config = prm_config({"prm": {"model_path": "some/prm"}})
    assert config == PrmConfig(model_path="some/prm")
    assert (config.on_error, config.num_replicas, config.trust_remote_code) == ("raise", 1, False)


@pytest.mark.parametrize(
    ("section", "engine"),
    [
        ({}, "in_process"),
        ({"server": {"urls": ["http://prm:8000"]}}, "server"),
        ({"engine": "reward_model"}, "reward_model"),
    ],
)
def test_the_engine_is_told_from_the_servers_where_it_is_not_set(section: Any, engine: str) -> None:
    assert engine_of(prm_config({"prm": section})) == engine


@pytest.mark.parametrize(("set_to", "device", "limit"), [(None, "cuda", 16384), (None, "cpu", 2048), (100, "cpu", 100)])
def test_passes_suit_the_device_where_no_limit_is_set(set_to: int | None, device: str, limit: int) -> None:
    assert tokens_per_forward(prm_config({"prm": {"max_tokens_per_forward": set_to}}), device) == limit


def test_a_familys_options_are_its_own() -> None:
    options = {"beta": 0.05, "reference_model_path": "some/lm"}
    assert prm_config({"prm": {"family_options": options}}).family_options == options


@pytest.mark.parametrize("section", [None, {}, {"prpo": None}, {"prpo": {}}])
def test_an_absent_or_empty_section_is_all_defaults(section: Any) -> None:
    assert prpo_config(OmegaConf.create(section) if section is not None else None) == PrpoConfig()


def test_numbers_may_come_as_text_from_the_command_line() -> None:
    assert prpo_config(OmegaConf.create({"prpo": {"min_gap": "7", "prior_std": "0.2"}})).min_gap == 7


def test_an_interpolation_reaches_the_whole_configuration() -> None:
    """A zero-shot judge is often the policy itself."""
    config = prpo("reward.prm.model_path=${actor_rollout_ref.model.path}", "actor_rollout_ref.model.path=my/policy")
    assert prm_config(config.reward).model_path == "my/policy"
    validate(config)


ALGORITHM_MISTAKES = [
    ({"max_anchor": 5}, "algorithm.prpo.max_anchor is not a setting; did you mean algorithm.prpo.max_anchors?"),
    ({"outcome_wieght": 2.0}, "did you mean algorithm.prpo.outcome_weight?"),
    ({"zzz": 1}, "algorithm.prpo.zzz is not a setting; its keys are credit, process_weight, segmenter"),
    ({"credit": "prm-avg"}, "algorithm.prpo.credit=prm-avg is not known; did you mean prm_avg?"),
    ({"segmenter": "newline"}, "algorithm.prpo.segmenter=newline is not known"),
    ({"anchor_rule": "gredy"}, "did you mean greedy?"),
    ({"process_norm": "batch"}, "algorithm.prpo.process_norm=batch is not known (one of prior, group, group_mean)"),
    ({"outcome_norm": "std"}, "algorithm.prpo.outcome_norm=std is not known"),
    ({"max_anchors": "five"}, "algorithm.prpo.max_anchors=five must be a whole number of at least 0"),
    ({"max_anchors": 5.5}, "algorithm.prpo.max_anchors=5.5 must be a whole number of at least 0"),
    ({"max_anchors": None}, "algorithm.prpo.max_anchors=None must be a whole number of at least 0"),
    ({"max_anchors": -1}, "algorithm.prpo.max_anchors=-1 must be a whole number of at least 0"),
    ({"max_anchors": True}, "algorithm.prpo.max_anchors=True must be a whole number of at least 0, or auto"),
    ({"max_anchors": "atuo"}, "algorithm.prpo.max_anchors=atuo must be a whole number of at least 0, or auto"),
    ({"tokens_per_anchor": 0}, "algorithm.prpo.tokens_per_anchor=0 must be a whole number of at least 1"),
    ({"anchor_bounds": [9, 5]}, "algorithm.prpo.anchor_bounds=[9, 5] must be two whole numbers, the lesser first"),
    ({"anchor_bounds": [5]}, "algorithm.prpo.anchor_bounds=[5] must be two whole numbers, the lesser first"),
    ({"anchor_bounds": "5,9"}, "algorithm.prpo.anchor_bounds=5,9 must be a list; write"),
    ({"anchor_bounds": "[5,9]"}, "must be a list; write ++algorithm.prpo.anchor_bounds='[5,9]'"),
    ({"min_gap": -1}, "algorithm.prpo.min_gap=-1 must be a whole number of at least 0"),
    ({"num_segments": 0}, "algorithm.prpo.num_segments=0 must be a whole number of at least 1"),
    ({"prior_mean": float("nan")}, "algorithm.prpo.prior_mean=nan must be a finite number"),
    ({"prior_std": 0.0}, "algorithm.prpo.prior_std=0.0 must be a positive number"),
    ({"prior_std": float("nan")}, "algorithm.prpo.prior_std=nan must be a positive number"),
    ({"segmenter": "text", "delimiters": []}, "algorithm.prpo.delimiters=[] must name at least one text"),
    ({"segmenter": "text", "delimiters": [""]}, "algorithm.prpo.delimiters=[''] must name at least one text"),
    ({"segmenter": "tokens"}, "algorithm.prpo.delimiter_token_ids=[] must name at least one token id"),
    (
        {"segmenter": "tokens", "delimiter_token_ids": [-1]},
        "delimiter_token_ids[0]=-1 must be a whole number",
    ),
    ({"delimiters": "\n"}, "must be a list; write ++algorithm.prpo.delimiters='[\\n]'"),
    ({"delimiters": [["a"]]}, "algorithm.prpo.delimiters[0]=['a'] must be a text"),
    ({"outcome_weight": 0.0}, "algorithm.prpo.outcome_weight=0.0 must be a positive number"),
    ({"outcome_weight": float("inf")}, "algorithm.prpo.outcome_weight=inf must be a positive number"),
    ({"skip_all_equal_groups": "maybe"}, "algorithm.prpo.skip_all_equal_groups=maybe must be true or false"),
    ({"dump_responses": -1}, "algorithm.prpo.dump_responses=-1 must be a whole number of at least 0"),
    ({"alarm_window": 7}, "algorithm.prpo.alarm_window=7 must be 0 or a whole number of at least 8"),
    ({"credit": "${nowhere}"}, "algorithm.prpo: Interpolation key 'nowhere' not found"),
    (True, "algorithm.prpo must be a section with keys, got True"),
]


@pytest.mark.parametrize(("section", "message"), ALGORITHM_MISTAKES)
def test_a_mistake_in_algorithm_prpo_is_named(section: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        prpo_config(OmegaConf.create({"prpo": section}))


PRM_MISTAKES = [
    ({"modelpath": "x"}, "reward.prm.modelpath is not a setting; did you mean reward.prm.model_path?"),
    ({"custom_family": {"path": "f.py", "nam": "F"}}, "did you mean reward.prm.custom_family.name?"),
    ({"custom_family": {"path": "f.py"}}, "reward.prm.custom_family needs both path (a Python file) and name"),
    ({"custom_family": {"name": "F"}}, "reward.prm.custom_family needs both path"),
    ({"custom_family": "f.py"}, "reward.prm.custom_family must be a section with path, name, got 'f.py'"),
    ({"on_error": "ignore"}, "reward.prm.on_error=ignore is not known"),
    ({"on_error": "outcome-only"}, "did you mean outcome_only?"),
    ({"dtype": "bf16"}, "reward.prm.dtype=bf16 is not known"),
    ({"num_replicas": 0}, "reward.prm.num_replicas=0 must be a whole number of at least 1"),
    ({"num_gpus_per_replica": -1}, "reward.prm.num_gpus_per_replica=-1 must be 0 or a number from 0.001 to 1"),
    (
        {"num_gpus_per_replica": 1.5},
        "num_gpus_per_replica=1.5 must be 0 or a number from 0.001 to 1 (a replica runs on one",
    ),
    ({"num_gpus_per_replica": 1e-4}, "reward.prm.num_gpus_per_replica=0.0001 must be 0 or a number from 0.001 to 1"),
    ({"num_cpus_per_replica": 1e-9}, "reward.prm.num_cpus_per_replica=1e-09 must be 0 or a finite number"),
    ({"num_cpus_per_replica": float("inf")}, "reward.prm.num_cpus_per_replica=inf must be 0 or a finite number"),
    ({"num_cpus_per_replica": float("nan")}, "reward.prm.num_cpus_per_replica=nan must be 0 or a finite number"),
    ({"max_tokens_per_forward": 0}, "reward.prm.max_tokens_per_forward=0 must be a whole number of at least 1"),
    ({"timeout": 0}, "reward.prm.timeout=0 must be a positive number"),
    ({"timeout": "soon"}, "reward.prm.timeout=soon must be a positive number"),
    ({"startup_timeout": float("inf")}, "reward.prm.startup_timeout=inf must be a positive number"),
    ({"engine": "vllm"}, "reward.prm.engine=vllm is not known (one of in_process, server, reward_model)"),
    ({"engine": "server"}, "reward.prm.engine=server needs servers; set ++reward.prm.server.urls='[http"),
    (
        {"engine": "in_process", "server": {"urls": ["http://prm:8000"]}},
        "reward.prm.server.urls is not read with reward.prm.engine=in_process",
    ),
    ({"server": {"urls": ["prm:8000"]}}, "prm:8000 must begin with http:// or https://"),
    (
        {"server": {"urls": "http://prm:8000"}},
        "reward.prm.server.urls=http://prm:8000 must be a list; write ++reward.prm.server.urls='[http://prm:8000]'",
    ),
    ({"server": {"urls": ["http://a", "http://a"]}}, "names a server twice"),
    ({"server": {"concurrency": 0}}, "reward.prm.server.concurrency=0 must be a whole number of at least 1"),
    ({"server": {"prompts_per_request": 0}}, "reward.prm.server.prompts_per_request=0 must be a whole number"),
    ({"server": {"request_timeout": 0}}, "reward.prm.server.request_timeout=0 must be a positive number"),
    ({"server": {"retries": -1}}, "reward.prm.server.retries=-1 must be a whole number of at least 0"),
    (
        {"server": {"prompt_logprobs": -2}},
        "server.prompt_logprobs=-2 must be a whole number of at least 0, or -1",
    ),
    ({"server": {"url": ["http://a"]}}, "reward.prm.server.url is not a setting; did you mean reward.prm.server.urls?"),
    ({"server": "http://a"}, "reward.prm.server must be a section with urls, model, api_key_env"),
    ({"server_urls": ["http://a"]}, "reward.prm.server_urls is now reward.prm.server.urls"),
    ({"server_request_timeout": 5}, "reward.prm.server_request_timeout is now reward.prm.server.request_timeout"),
    ({"prompt_logprobs": 5}, "reward.prm.prompt_logprobs is now reward.prm.server.prompt_logprobs"),
    ({"schedule": "streaming"}, "reward.prm.schedule=streaming is not known; did you mean stream?"),
    ({"overlong": "cut"}, "reward.prm.overlong=cut is not known"),
    (
        {"overlong": "truncate"},
        "Set ++reward.prm.overlong=windows (the PRM reads such a response in parts), neutral (such segments get z=0)",
    ),
    ({"cache_size": -1}, "reward.prm.cache_size=-1 must be a whole number of at least 0"),
    ({"max_failed_fraction": 1.5}, "reward.prm.max_failed_fraction=1.5 must be a number from 0 to 1"),
    ({"max_failed_fraction": float("nan")}, "reward.prm.max_failed_fraction=nan must be a number from 0 to 1"),
]


@pytest.mark.parametrize(("section", "message"), PRM_MISTAKES)
def test_a_mistake_in_reward_prm_is_named(section: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        prm_config(OmegaConf.create({"prm": section}))


def test_a_value_of_an_earlier_version_is_explained() -> None:
    message = "reward.prm.overlong=cut is no longer a choice; set neutral"
    with pytest.raises(ConfigError, match=re.escape(message)):
        typed_section(
            "reward.prm", PrmConfig, {"overlong": "cut"}, {"overlong=cut": "is no longer a choice; set neutral"}
        )


def test_all_mistakes_of_a_section_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        prm_config({"prm": {"on_eror": "raise", "timeout": -1, "server": {"retries": "often"}}})
    lines = str(caught.value).splitlines()
    assert sorted(line.split(" ")[0] for line in lines) == [
        "reward.prm.on_eror",
        "reward.prm.server.retries=often",
        "reward.prm.timeout=-1",
    ]


@pytest.mark.parametrize("section", [{"server": None}, {"custom_family": None}, {"model_path": "???"}])
def test_an_inner_section_that_is_null_and_a_value_still_to_be_given_are_defaults(section: Any) -> None:
    assert prm_config(OmegaConf.create({"prm": section})) == PrmConfig()


@pytest.mark.parametrize("gpus", [0, 0.25, 1])
def test_a_replica_takes_a_share_of_one_gpu(gpus: float) -> None:
    assert prm_config({"prm": {"num_gpus_per_replica": gpus}}).num_gpus_per_replica == gpus


RUN_MISTAKES = [
    (
        "+algorithm.prpo.segmentr=entropy",
        "algorithm.prpo.segmentr is not a setting; did you mean algorithm.prpo.segmenter?",
    ),
    ("+reward.prm.on_eror=raise", "reward.prm.on_eror is not a setting; did you mean reward.prm.on_error?"),
    (
        "reward.prm.model_path=null",
        "Set a hub name or a folder, such as ++reward.prm.model_path=Qwen/Qwen2.5-Math-PRM-7B",
    ),
    ("~reward.prm", "needs a process reward model"),
    ("trainer.use_v1=False", "needs verl's v1 trainer. Set trainer.use_v1=True"),
    ("trainer.v1.trainer_mode=synch", "trainer.v1.trainer_mode=synch is not known; did you mean sync?"),
    ("reward.reward_model.enable=True", "makes verl bypass every reward manager"),
]


@pytest.mark.parametrize(("override", "message"), RUN_MISTAKES)
def test_a_run_that_cannot_work_stops_in_verls_validation_before_ray(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        validate(prpo(override))
    assert not ray.is_initialized()


@pytest.mark.parametrize(
    "override",
    [
        "+algorithm.prpo.segmentr=entropy",
        "+algorithm.prpo=nonsense",
        "+reward.prm.model_path=null",
        "+reward.prm.on_eror=raise",
        "trainer.use_v1=False",
        "actor_rollout_ref.rollout.n=1",
    ],
)
def test_other_estimators_never_notice_these_settings(override: str, recwarn: pytest.WarningsRecorder) -> None:
    config = grpo(override)
    assert not uses_prpo(config)
    validate(config)
    assert not [warning for warning in recwarn if "PRPO" in str(warning.message)]


def test_a_good_configuration_passes_verls_validation() -> None:
    validate(prpo())


def test_the_outcome_only_arm_runs_without_a_prm() -> None:
    config = prpo("~reward.prm", "+algorithm.prpo.credit=outcome")
    assert not needs_prm(prpo_config(config.algorithm))
    validate(config)


@pytest.mark.parametrize("credit", ["prpo", "process", "prm_avg", "prm_avg_prpo", "pure"])
def test_every_other_arm_needs_one(credit: str) -> None:
    with pytest.raises(ConfigError, match=r"reward\.prm\.model_path"):
        check_config(prpo("~reward.prm", f"+algorithm.prpo.credit={credit}"))


def test_a_reward_model_behind_a_custom_reward_function_keeps_the_reward_manager() -> None:
    check_config(prpo("reward.reward_model.enable=True", "reward.custom_reward_function.path=score.py"))


BYPASS = "algorithm.rollout_correction.bypass_mode=True"
NO_LOG_PROBS = "actor_rollout_ref.rollout.calculate_log_probs=False"


@pytest.mark.parametrize("segmenter", ["entropy", "surprisal"])
def test_bypass_mode_without_rollout_log_probs_leaves_no_signal_to_cut_at(segmenter: str) -> None:
    config = prpo(BYPASS, NO_LOG_PROBS, f"+algorithm.prpo.segmenter={segmenter}")
    with pytest.raises(ConfigError, match=r"actor_rollout_ref\.rollout\.calculate_log_probs=True"):
        check_config(config)


def test_bypass_mode_with_rollout_log_probs_cuts_at_surprisal_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    validate(prpo(BYPASS))
    assert "Responses are cut at surprisal" in capsys.readouterr().out


@pytest.mark.parametrize("segmenter", ["uniform", "random", "single"])
def test_bypass_mode_suits_segmenters_that_need_no_signal(segmenter: str) -> None:
    config = prpo(BYPASS, NO_LOG_PROBS, f"+algorithm.prpo.segmenter={segmenter}")
    check_config(config)
    assert notices(config) == []


@pytest.mark.parametrize(
    ("config", "with_what"),
    [
        (grpo("reward.reward_manager.name=prm"), "algorithm.adv_estimator=grpo"),
        (prpo("reward.reward_manager.name=prm", "+algorithm.prpo.credit=outcome"), "algorithm.prpo.credit=outcome"),
    ],
)
def test_the_manager_of_process_rewards_where_nothing_asks_it_is_said(config: DictConfig, with_what: str) -> None:
    (notice,) = notices(config)
    assert notice.startswith(f"reward.reward_manager.name=prm with {with_what}: no PRM is started or asked")
    assert "Set reward.reward_manager.name=naive" in notice


def test_the_manager_of_process_rewards_named_by_hand_is_all_right_with_prpo() -> None:
    assert notices(prpo("reward.reward_manager.name=prm")) == []


def test_groups_of_one_are_allowed_and_said() -> None:
    config = prpo("actor_rollout_ref.rollout.n=1")
    check_config(config)
    (notice,) = notices(config)
    assert "actor_rollout_ref.rollout.n=1 makes groups of one" in notice


def test_pure_with_an_outcome_weight_is_said() -> None:
    config = prpo("+algorithm.prpo.credit=pure", "+algorithm.prpo.outcome_weight=2.0")
    (notice,) = notices(config)
    assert "Set ++algorithm.prpo.outcome_weight=1.0" in notice


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("process_norm=group", "algorithm.prpo.process_norm=group is not read with algorithm.prpo.credit=trust"),
        ("prior_mean=0.6", "algorithm.prpo.prior_mean=0.6 is not read with algorithm.prpo.credit=trust"),
        ("prior_std=0.2", "algorithm.prpo.prior_std=0.2 is not read with algorithm.prpo.credit=trust"),
        ("outcome_norm=mean_std", "algorithm.prpo.outcome_norm=mean_std is not read with algorithm.prpo.credit=trust"),
        ("outcome_weight=2.0", "algorithm.prpo.outcome_weight=2 changes nothing with algorithm.prpo.credit=trust"),
    ],
)
def test_what_the_credit_trust_does_not_read_is_said(setting: str, said: str) -> None:
    (notice,) = notices(prpo("+algorithm.prpo.credit=trust", f"+algorithm.prpo.{setting}"))
    assert notice.startswith(said)
    assert notices(prpo(f"+algorithm.prpo.{setting}")) == []
    assert notices(prpo("+algorithm.prpo.credit=trust")) == []


def test_an_outcome_weight_beside_a_kl_penalty_is_read_by_the_credit_trust() -> None:
    kl = "algorithm.use_kl_in_reward=True"
    assert notices(prpo("+algorithm.prpo.credit=trust", "+algorithm.prpo.outcome_weight=2.0", kl)) == []


def test_groups_of_one_earn_no_trust() -> None:
    (notice,) = notices(prpo("+algorithm.prpo.credit=trust", "actor_rollout_ref.rollout.n=1"))
    assert "the PRM cannot earn a weight" in notice and "PRPO then learns from the PRM" not in notice


def test_a_custom_family_that_is_no_file_is_named_before_ray_starts() -> None:
    path = "+reward.prm.custom_family.path=nowhere/family.py"
    with pytest.raises(ConfigError, match=r"reward\.prm\.custom_family\.path=nowhere/family\.py is not a file"):
        check_config(prpo(path, "+reward.prm.custom_family.name=Mine"))


def test_an_outcome_manager_set_in_the_wrong_place_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"is copied from reward\.reward_manager\. Set reward\.reward_manager\.name instead"
    ):
        check_config(prpo("+reward.prm.outcome_reward_manager.name=dapo"))


@pytest.mark.parametrize("outcome", ["dapo", "{name:prm}", "{source:register}"])
def test_an_outcome_manager_that_cannot_be_wrapped_is_refused(outcome: str) -> None:
    overrides = ("reward.reward_manager.name=prm", f"+reward.prm.outcome_reward_manager={outcome}")
    with pytest.raises(ConfigError, match=r"must be a section like reward\.reward_manager"):
        check_config(prpo(*overrides))


def test_an_unknown_family_is_named_with_the_nearest_before_ray_starts() -> None:
    with pytest.raises(ConfigError, match=r"reward\.prm\.family=qwen_math is not known; did you mean qwen_math_prm\?"):
        check_config(prpo("+reward.prm.family=qwen_math"))


@pytest.mark.parametrize(
    ("overrides", "outcome_class"),
    [
        ((), "NaiveRewardManager"),
        (("reward.reward_manager.name=dapo",), "DAPORewardManager"),
        (("reward.reward_manager.name=remote",), "RemoteRewardManager"),
    ],
)
def test_the_configured_reward_manager_becomes_the_one_that_prm_wraps(
    overrides: tuple[str, ...], outcome_class: str
) -> None:
    config = prpo(*overrides)
    before = resolve_reward_manager_cls(config)

    line = wire(config)

    assert resolve_reward_manager_cls(config) is PrmRewardManager
    assert resolve_reward_manager_cls(outcome_config(config)) is before
    assert before.__name__ == outcome_class
    assert "some/prm" in line
    assert OmegaConf.select(config, "reward.prm.outcome_reward_manager.name") in line


def test_a_reward_manager_from_a_file_becomes_the_one_that_prm_wraps(tmp_path: Any) -> None:
    module = tmp_path / "own_manager.py"
    module.write_text(
        "from verl.experimental.reward_loop.reward_manager import NaiveRewardManager\n"
        "class OwnRewardManager(NaiveRewardManager):\n    pass\n"
    )
    config = prpo(
        "reward.reward_manager.source=importlib",
        "reward.reward_manager.name=OwnRewardManager",
        f"reward.reward_manager.module.path={module}",
    )

    wire(config)

    assert resolve_reward_manager_cls(config) is PrmRewardManager
    assert resolve_reward_manager_cls(outcome_config(config)).__name__ == "OwnRewardManager"


def test_wiring_twice_is_wiring_once() -> None:
    config = prpo("reward.reward_manager.name=dapo")
    first = wire(config)
    wired = OmegaConf.to_container(config.reward, resolve=False)

    assert wire(config) == first
    assert OmegaConf.to_container(config.reward, resolve=False) == wired
    assert resolve_reward_manager_cls(outcome_config(config)) is DAPORewardManager


def test_the_wired_configuration_is_still_valid_for_verl_and_the_plugin() -> None:
    config = prpo("reward.reward_manager.name=remote")
    wire(config)

    validate(config)
    assert prm_config(config.reward).outcome_reward_manager["name"] == "remote"
    assert resolve_reward_manager_cls(outcome_config(config)) is RemoteRewardManager


def test_prm_named_by_hand_wraps_verls_naive_manager() -> None:
    config = prpo("reward.reward_manager.name=prm")
    assert "'naive'" in wire(config)
    assert resolve_reward_manager_cls(outcome_config(config)).__name__ == "NaiveRewardManager"


def test_the_outcome_manager_sees_the_rest_of_the_configuration_unchanged() -> None:
    config = prpo("reward.reward_manager.name=dapo", "reward.custom_reward_function.path=score.py")
    before: DictConfig = OmegaConf.create(OmegaConf.to_container(config, resolve=False))
    wire(config)
    inner = outcome_config(config)
    assert inner.reward.reward_manager == before.reward.reward_manager
    assert inner.reward.custom_reward_function == before.reward.custom_reward_function
    assert inner.data == before.data


@pytest.mark.parametrize(
    "given, read",
    [
        (r"\n", "\n"),
        ("\n", "\n"),
        (r"\n\n", "\n\n"),
        (r"\t|\r", "\t|\r"),
        (r"\\n", r"\n"),
        (r"\\nabla", r"\nabla"),
        (r"\boxed", r"\boxed"),
        (r"\u043a\x41", "кA"),
        (r"\ud83d\ude00", "😀"),
        (r"\U0001F600", "😀"),
        ("ки", "ки"),
        ("\\", "\\"),
        ("", ""),
    ],
)
def test_escapes_in_texts_are_read(given, read):
    assert read_escapes(given) == read


def test_escapes_are_read_wherever_a_text_is_a_setting() -> None:
    """Hydra takes `delimiters='["\\n"]'` from a shell as a backslash and an n."""
    config = prpo("++algorithm.prpo.segmenter=text", '++algorithm.prpo.delimiters=["\\n","ки"]')
    assert prpo_config(config.algorithm).delimiters == ["\n", "ки"]
    options = {"separator": r"\n\n", "reference_model_path": r"C:\new", "nested": {"tags": [r"\t", 3, None]}}
    read = prm_config({"prm": {"family_options": options}}).family_options
    assert read == {"separator": "\n\n", "reference_model_path": r"C:\new", "nested": {"tags": ["\t", 3, None]}}


@pytest.mark.parametrize(
    "overrides, said",
    [
        (['++algorithm.prpo.delimiters=["\\n"]'], "Set ++algorithm.prpo.segmenter=text to cut by it"),
        (["++algorithm.prpo.segmenter=text", "++algorithm.prpo.max_anchors=9"], "max_anchors=9 is not read"),
        (["++algorithm.prpo.segmenter=text", '++algorithm.prpo.delimiters=["\\n"]'], None),
        (["++algorithm.prpo.min_gap=20"], None),
        (["++algorithm.prpo.segmenter=random", "++algorithm.prpo.min_gap=20"], "min_gap=20 is not read"),
        (["++algorithm.prpo.segmenter=uniform", "++algorithm.prpo.max_anchors=auto"], "max_anchors='auto' is not read"),
        (["++algorithm.prpo.segmenter=turns+text", "++algorithm.prpo.max_anchors=auto"], "segmenter=turns+entropy to"),
        (["++algorithm.prpo.tokens_per_anchor=50"], "is not read with algorithm.prpo.max_anchors=5"),
        (["++algorithm.prpo.tokens_per_anchor=50", "++algorithm.prpo.max_anchors=auto"], None),
    ],
)
def test_a_setting_that_the_segmenter_does_not_read_is_named(overrides: list[str], said: str | None) -> None:
    found = [line for line in notices(prpo(*overrides)) if "is not read with algorithm.prpo." in line]
    assert (said in found[0] and len(found) == 1) if said else found == []


@pytest.mark.parametrize(("tokens", "said"), [(19, True), (20, False)])
@pytest.mark.parametrize("segmenter", ["entropy", "turns+surprisal"])
def test_more_anchors_than_the_gap_lets_in_are_named(segmenter: str, tokens: int, said: bool) -> None:
    cut = [f"++algorithm.prpo.segmenter={segmenter}", "++algorithm.prpo.max_anchors=auto"]
    found = notices(prpo(*cut, "++algorithm.prpo.min_gap=20", f"++algorithm.prpo.tokens_per_anchor={tokens}"))
    lines = [line for line in found if "is below algorithm.prpo.min_gap=20" in line]
    assert len(lines) == said and all("tokens_per_anchor=19" in line for line in lines)


def test_a_judge_that_writes_reads_in_no_windows():
    with pytest.raises(ConfigError, match=r"reward\.prm\.overlong=windows with reward\.prm\.family=generated_verdicts"):
        prm_config({"prm": {"model_path": "judge", "family": "generated_verdicts", "overlong": "windows"}})
    config = prm_config({"prm": {"model_path": "judge", "family": "generated_verdicts", "overlong": "raise"}})
    assert config.overlong == "raise"
