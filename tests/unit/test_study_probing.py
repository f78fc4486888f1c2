# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""The probe of the study's learned PRMs, by the package's own command."""

import json
import random

import pytest
import torch
from study.assets import path_of
from study.jobs import StudyError
from study.policy import demonstrated, new_model, teach
from study.prms import Learned
from study.probing import probe, probe_of, probe_path
from study.report import known_facts
from study.tasks import early
from study.vocabulary import Vocabulary

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def assets(tmp_path_factory):
    """A policy that knows what a line is, and a PRM that gives every text the same score."""
    folder = tmp_path_factory.mktemp("assets")
    vocabulary = Vocabulary(early.WORDS)
    torch.manual_seed(0)
    rng = random.Random(0)
    policy = new_model(vocabulary)
    teach(policy, lambda: demonstrated(vocabulary, early, rng), 60, lambda step: False)
    prm = Learned(policy, vocabulary)
    torch.nn.init.zeros_(prm.head.weight)
    torch.nn.init.zeros_(prm.head.bias)
    for what, model in (("policy", policy), ("learned", prm)):
        torch.save(model.state_dict(), path_of("early", what, folder))
        path_of("early", what, folder).with_suffix(".json").write_text("{}")
    return folder


def test_a_prm_that_sees_nothing_is_flagged_and_the_probe_is_kept(assets):
    assert probe_of("early", "learned", assets) is None
    probe("early", "learned", assets)
    found = probe_of("early", "learned", assets)
    assert found["drop_step"]["verdict"] == found["repeat_step"]["verdict"] == "FLAG"
    assert all(of["at_change"]["value"] == pytest.approx(0, abs=1e-6) for of in found.values() if of["at_change"])
    assert known_facts(assets)["early learned"]["probe"] == found
    kept = probe_path("early", "learned", assets)
    kept.write_text(json.dumps({"findings": []}))
    probe("early", "learned", assets)
    assert probe_of("early", "learned", assets) == {}, "it was made anew"


def test_exact_labels_are_no_model(assets):
    with pytest.raises(ValueError, match="no model to probe"):
        probe("early", "oracle", assets)


def test_a_probe_that_fails_says_what_the_command_said(assets, monkeypatch):
    monkeypatch.setattr("study.probing.FAMILY", assets / "examples" / "study" / "no_such_family.py")
    probe_path("early", "learned", assets).unlink(missing_ok=True)
    with pytest.raises(StudyError, match="no_such_family"):
        probe("early", "learned", assets)
    assert probe_of("early", "learned", assets) is None
