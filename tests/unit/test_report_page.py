# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`verl-prpo report`: which responses it finds worth a look, and the page it writes."""

import base64
import gzip
import hashlib
import json
import random
import re
import string
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from report_dumps import PAYLOAD, empty, rollout, row, varied, write

from verl_prpo.cli.main import main
from verl_prpo.viewer.report.facts import Facts, Survey, Surveyor, facts_of
from verl_prpo.viewer.report.filters import FILTERS
from verl_prpo.viewer.report.payload import as_json, runs, token_lengths
from verl_prpo.viewer.report.prior import Point, find_prior
from verl_prpo.viewer.report.sample import curve_steps, draw
from verl_prpo.viewer.report.summary import summary


class Elements(HTMLParser):
    """The elements of a page, and the texts of its scripts and styles."""

    def __init__(self, page: str):
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {"script": [], "style": []}
        self.inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self.inside = tag

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside in self.texts:
            self.texts[self.inside].append(data)


def data_of(page: Path) -> dict[str, Any]:
    found = re.search(r'<script type="text/plain" id="data">([A-Za-z0-9+/=]*)</script>', page.read_text("utf-8"))
    assert found is not None
    return json.loads(gzip.decompress(base64.b64decode(found[1])))


def surveyed(rollouts: list[Any], threshold: float | None = None) -> Survey:
    surveyor = Surveyor()
    for made in rollouts:
        surveyor.add(made)
    return surveyor.survey(threshold)


def all_facts(rollouts: list[Any]) -> list[Facts]:
    return surveyed(rollouts).facts


def noise(words: int, seed: int) -> str:
    """A text that compresses as badly as any."""
    dice = random.Random(seed)
    return " ".join("".join(dice.choices(string.ascii_letters, k=3)) for _ in range(words))


class TestFacts:
    def test_numbers_are_those_of_the_trained_tokens(self) -> None:
        # 4 words and an end in two segments of 2 and 3 tokens: z is 1.6 and -0.4
        made = replace(rollout(), response_mask=[1, 1, 1, 0, 0])
        facts = all_facts([made])[0]
        assert (facts.tokens, facts.trained) == (5, 3)
        assert facts.prm_mean == pytest.approx(0.65)
        assert facts.z_mean == pytest.approx((1.6 + 1.6 - 0.4) / 3)
        assert facts.a_mean == pytest.approx((1.6 + 1.6 - 0.4) / 3 + 0.5)

    def test_a_flip_is_a_sign_opposite_to_grpos(self) -> None:
        facts = facts_of(rollout(beta=-0.5, grpo=-0.7), 0)  # A is 1.1 on two tokens, -0.9 on three
        assert facts.flip_share == pytest.approx(2 / 5)

    def test_rounding_in_a_group_that_agrees_is_no_flip(self) -> None:
        assert facts_of(rollout(beta=-0.5, grpo=-1e-8), 0).flip_share == 0

    def test_in_a_group_of_equal_outcomes_nothing_is_flipped_whatever_the_size_of_the_rounding(self) -> None:
        # verl's GRPO gives eight responses of reward 0.7 an advantage of 0.056.
        equal = [rollout(scores=(0.0,), uid="a", beta=0.0, grpo=0.056, outcome_reward=0.7) for _ in range(8)]
        alone = [rollout(scores=(0.0,), uid="b", beta=0.0, grpo=0.056, outcome_reward=0.7)]
        graded = [rollout(scores=(0.0,), uid="c", beta=0.0, grpo=g, outcome_reward=g) for g in (0.5, 0.7)]
        facts = all_facts(equal + alone + graded)
        assert [fact.flat for fact in facts] == [True] * 8 + [False] * 3
        assert [fact.flip_share for fact in facts] == [0.0] * 8 + [1.0] * 3

    def test_wrong_answers_of_different_length_penalty_agree_and_may_still_be_flipped(self) -> None:
        made = [
            rollout(scores=(0.9,), beta=b, grpo=2 * b, outcome_reward=b - 1, outcome_parts={"acc": False})
            for b in (0.1, -0.1)
        ]
        facts = all_facts(made)
        assert [(fact.right, fact.agrees, fact.flat) for fact in facts] == [(False, True, False)] * 2
        assert [fact.flip_share for fact in facts] == [0.0, 1.0]
        assert summary(facts).all_equal == 1

    def test_summary_separates_the_prm_on_right_and_on_wrong_answers(self) -> None:
        found = summary(all_facts(varied()))
        assert (found.responses, found.groups, found.right, found.wrong, found.failures) == (6, 3, 2, 4, 1)
        assert found.prm_right == pytest.approx((0.8 + 0.25) / 2)
        assert found.prm_wrong == pytest.approx((0.875 + 0.45 + 0.5) / 3)
        assert found.all_equal == 1
        # right 0.8 and 0.25 against wrong 0.875, 0.45 and 0.5: two of six pairs
        assert found.ranked == pytest.approx(2 / 6)
        assert (found.liked_wrong, found.disliked_right) == (1, 1)

    def test_the_segment_that_speaks_most_against_the_verdict(self) -> None:
        made = [
            rollout(scores=(0.2, 0.9, 0.95), right=False),
            rollout(scores=(0.9, 0.1), right=True),
            rollout(scores=(0.1, 0.2), right=False),
            rollout(scores=(0.55, 0.2), right=False),  # z is 0.2: next to nothing
        ]
        assert [fact.worst for fact in all_facts(made)] == [2, 1, None, None]


class TestVerdicts:
    def test_accuracy_of_the_reward_manager_decides_before_its_score(self) -> None:
        made = [rollout(verifier_score=score, outcome_parts={"acc": acc}) for score, acc in ((0.1, True), (0.9, False))]
        assert [fact.right for fact in all_facts(made)] == [True, False]

    def test_two_rewards_in_the_dump_are_right_and_wrong_whatever_they_are(self) -> None:
        made = [rollout(verifier_score=score) for score in (0.1, 5.0, 0.1)]
        assert [fact.right for fact in all_facts(made)] == [False, True, False]

    def test_graded_rewards_are_unknown_and_neither_right_nor_wrong(self) -> None:
        found = surveyed([rollout(verifier_score=score, scores=(0.9,)) for score in (0.1, 0.5, 0.9)])
        assert [fact.right for fact in found.facts] == [None] * 3
        assert [fact.worst for fact in found.facts] == [None] * 3
        assert (summary(found.facts).unknown, summary(found.facts).ranked) == (3, None)
        assert "unknown" in found.verdicts and "'acc'" in found.verdicts

    def test_a_threshold_overrides(self) -> None:
        made = [rollout(verifier_score=score, outcome_parts={"acc": True}) for score in (0.1, 0.5, 0.9)]
        assert [fact.right for fact in surveyed(made, 0.5).facts] == [False, True, True]


class TestPrior:
    def test_it_is_solved_from_scores_and_z(self) -> None:
        prior = surveyed(varied()).prior
        assert (prior.mean, prior.std, prior.source) == (pytest.approx(0.5), pytest.approx(0.25), "solved")

    def test_the_records_own_comes_first(self) -> None:
        assert find_prior([Point(0.2, 1.0, "a"), Point(0.4, 9.0, "a")], (0.7, 0.1)) == find_prior([], (0.7, 0.1))
        assert find_prior([], (0.7, 0.1)).source == "record"

    def test_a_prior_of_each_group_leaves_z_as_the_dump_has_it(self) -> None:
        points = [Point(r, (r - mean) / 0.1, mean) for mean in (0.3, 0.8) for r in (0.1, 0.5, 0.9)]
        prior = find_prior(points)
        assert (prior.mean, prior.source) == (None, "group")
        assert prior.z(0.5, 2.0) == 2.0

    @pytest.mark.parametrize(("scores", "mean"), [((0.2, 0.4, 0.9), 0.5), ((-3.0, 1.0, 5.0), 1.0)])
    def test_where_z_is_no_line_it_is_assumed(self, scores: tuple[float, ...], mean: float) -> None:
        prior = find_prior([Point(score, 1.0 - score**2, "a") for score in scores])
        assert (prior.mean, prior.source) == (pytest.approx(mean), "assumed")


class TestFilters:
    @pytest.mark.parametrize(
        ("key", "expected"),
        [("liked-wrong", [1]), ("disliked-right", [2]), ("sign-flips", [1, 2]), ("failures", [4])],
    )
    def test_each_finds_its_responses(self, key: str, expected: list[int]) -> None:
        chosen = next(one for one in FILTERS if one.key == key)
        assert [fact.index for fact in chosen.select(all_facts(varied()))] == expected

    def test_longest_keeps_a_tenth_at_least_ten(self) -> None:
        facts = all_facts([rollout("w " * (i % 50 + 1), uid=str(i)) for i in range(150)])
        longest = next(one for one in FILTERS if one.key == "longest").select(facts)
        assert len(longest) == 15
        assert [fact.tokens for fact in longest] == sorted((fact.tokens for fact in facts), reverse=True)[:15]


class TestSample:
    def test_whole_groups_from_every_step(self) -> None:
        facts = all_facts([rollout(uid=f"{g}", step=step) for step in (1, 2) for g in range(10) for _ in range(4)])
        drawn = draw(facts, 24, seed=0)
        assert [len(group) for group in drawn] == [4] * 6
        assert sorted(group[0].step for group in drawn) == [1, 1, 1, 2, 2, 2]
        assert draw(facts, 24, seed=0) == drawn
        assert draw(facts, 24, seed=1) != drawn

    def test_one_group_above_the_limit_is_cut(self) -> None:
        assert [len(group) for group in draw(all_facts([rollout()] * 9), 5, seed=0)] == [5]


class TestPayload:
    def test_any_text_can_be_written_and_read_back(self) -> None:
        text = as_json({"text": PAYLOAD})
        assert json.loads(text.encode()) == {"text": PAYLOAD}

    def test_lengths_count_as_javascript_does(self) -> None:
        assert token_lengths("a🎉é", [0, 1, 1, 2, 3]) == [1, 0, 2, 1, 0]
        assert token_lengths("", []) == []

    def test_neighbours_that_agree_are_written_once(self) -> None:
        assert runs([1, 1, 1, 1, 1, 2]) == [[1, 5], [2, 1]]
        assert runs([1, 2, 3]) == [1, 2, 3]


class TestPage:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return write(tmp_path / "rollouts", varied())

    def test_holds_everything_and_names_no_other_place(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["report", str(folder)]) == 0
        page = folder / "report.html"
        assert capsys.readouterr().out.startswith(f"{page}  (6 responses, ")
        elements = Elements(page.read_text("utf-8"))
        assert not [attrs for _, attrs in elements.found if "src" in attrs or attrs.get("href", "#")[:1] != "#"]
        assert {tag for tag, _ in elements.found}.isdisjoint({"link", "img", "iframe", "object", "base"})

    def test_its_policy_runs_its_own_script_alone(self, folder: Path) -> None:
        assert main(["report", str(folder)]) == 0
        elements = Elements((folder / "report.html").read_text("utf-8"))
        policy = next(attrs["content"] for _, attrs in elements.found if "http-equiv" in attrs)
        assert policy is not None and policy.startswith("default-src 'none'; ")
        assert "connect-src" not in policy and "img-src" not in policy
        for tag in ("script", "style"):
            digest = base64.b64encode(hashlib.sha256(elements.texts[tag][0].encode()).digest()).decode()
            assert f"{tag}-src 'sha256-{digest}'" in policy

    def test_a_response_is_there_as_the_model_wrote_it(self, folder: Path) -> None:
        assert main(["report", str(folder)]) == 0
        found = data_of(folder / "report.html")["responses"][3]
        assert found["text"] == PAYLOAD
        assert sum(found["lengths"]) == len(PAYLOAD.encode("utf-16-le", "surrogatepass")) // 2
        assert [segment[2] for segment in found["segments"]] == [0.3, 0.6, 0.45]
        assert [segment[3] for segment in found["segments"]] == pytest.approx([-0.8, 0.4, -0.2])

    def test_numbers_that_are_none_leave_the_page_readable(self, tmp_path: Path) -> None:
        made = rollout(beta=float("nan"), entropy=[float("inf")] * 5)
        folder = write(tmp_path, [made, empty()])
        assert main(["report", str(folder)]) == 0
        found = data_of(folder / "report.html")["responses"][0]
        assert found["signals"]["entropy"] == [None] * 5
        assert found["A"] in ([None] * 5, [[None, 5]])

    def test_last_step_unless_others_are_asked_for(self, tmp_path: Path) -> None:
        folder = write(tmp_path, [rollout(step=step) for step in (2, 10, 9)])
        assert main(["report", str(folder)]) == 0
        assert [s["step"] for s in data_of(folder / "report.html")["steps"]] == [10]
        assert main(["report", str(folder), "--steps", "2", "9", "-o", str(tmp_path / "two.html")]) == 0
        assert [s["step"] for s in data_of(tmp_path / "two.html")["steps"]] == [2, 9]

    def test_curves_have_a_point_for_steps_spread_over_the_folder(self, tmp_path: Path) -> None:
        folder = write(tmp_path, [rollout(step=step, right=step > 8) for step in range(1, 21)])
        assert curve_steps(folder, 5) == [1, 6, 11, 15, 20]
        assert main(["report", str(folder), "--curve-steps", "5"]) == 0
        found = data_of(folder / "report.html")
        assert [point["step"] for point in found["curve"]] == curve_steps(folder, 5)
        assert [point["right"] for point in found["curve"]] == [int(step > 8) for step in curve_steps(folder, 5)]
        assert [s["step"] for s in found["steps"]] == [20]
        assert main(["report", str(folder), "--curve-steps", "0"]) == 0
        assert len(data_of(folder / "report.html")["curve"]) == 1

    def test_a_broken_step_that_was_not_asked_for_ends_the_curves_and_says_so(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = write(tmp_path, [rollout(step=step) for step in (1, 2, 3)])
        (folder / "2.jsonl").write_text("broken\n")
        assert main(["report", str(folder)]) == 0
        said = "The curves end where a step could not be read"
        assert said in capsys.readouterr().out and said in data_of(folder / "report.html")["trouble"]
        assert [point["step"] for point in data_of(folder / "report.html")["curve"]] == [1, 3]
        assert main(["report", str(folder), "--steps", "2"]) == 2

    def test_katex_is_what_its_package_holds(self) -> None:
        folder = files("verl_prpo.viewer.report") / "katex"
        digests = {
            "katex.min.js": "fa140498b8cfc8302cbe5e7cb1bdbc1f952bc38b3fa258ede09e73edbf9a74bc",
            "katex.min.css": "00e0b094171b07f58422075f469b4feac2b2f7bce1aeec943c08da4d697f4dcf",
        }
        for name, digest in digests.items():
            assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name
        assert len([file for file in folder.iterdir() if file.name.endswith(".woff2")]) == 20

    def test_only_a_page_with_formulas_brings_katex_and_its_licence(self, tmp_path: Path) -> None:
        sizes = {}
        for name, text in (
            ("plain", "so it costs five"),
            ("formula", r"so $x^2$ is \boxed{4}"),
            ("bold", r"$\mathbf{x}$"),
        ):
            folder = write(tmp_path / name, [rollout(text)])
            assert main(["report", str(folder)]) == 0
            page = (folder / "report.html").read_text("utf-8")
            sizes[name] = len(page)
            assert ('id="katex"' in page) == ("The MIT License" in page) == (name != "plain")
        assert 150_000 < sizes["formula"] - sizes["plain"] < 300_000
        assert sizes["bold"] > sizes["formula"] + 25_000  # one more font

    def test_a_single_file(self, folder: Path) -> None:
        assert main(["report", str(folder / "1.jsonl")]) == 0
        assert len(data_of(folder / "report.html")["responses"]) == 6

    def test_above_the_limit_it_says_what_is_left_out(self, tmp_path: Path) -> None:
        folder = write(tmp_path, [rollout(uid=str(i // 2)) for i in range(12)])
        assert main(["report", str(folder), "--limit", "5"]) == 0
        found = data_of(folder / "report.html")
        assert (found["sample"]["shown"], found["sample"]["read"]) == (4, 12)
        assert found["all"]["responses"] == 12
        assert "drawn at random (seed 0)" in found["sample"]["how"]

    def test_above_the_size_groups_are_left_out(self, tmp_path: Path) -> None:
        folder = write(tmp_path, [rollout(noise(2000, seed=i), uid=str(i)) for i in range(20)])
        assert main(["report", str(folder), "--max-mb", "0.2"]) == 0
        page = folder / "report.html"
        assert page.stat().st_size <= 200_000
        found = data_of(page)
        assert 0 < found["sample"]["shown"] < found["sample"]["read"] == 20

    def test_a_single_group_above_the_size_loses_responses(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "dump", [rollout(noise(2000, i), (0.5,)) for i in range(12)])
        assert main(["report", str(folder), "--max-mb", "0.13"]) == 0
        page = folder / "report.html"
        assert page.stat().st_size <= 130_000
        assert 1 <= len(data_of(page)["responses"]) < 12

    def test_200_responses_of_1500_tokens_stay_below_5_megabytes(self, tmp_path: Path) -> None:
        made = [rollout(noise(1500, seed=i), (0.9, 0.1, 0.5, 0.7, 0.3, 0.6), uid=str(i // 8)) for i in range(200)]
        signals = [[random.Random(i).expovariate(1.5) for _ in r.response_mask] for i, r in enumerate(made)]
        made = [replace(r, entropy=values, surprisal=values[::-1]) for r, values in zip(made, signals, strict=True)]
        folder = write(tmp_path, made)
        assert main(["report", str(folder)]) == 0
        assert (folder / "report.html").stat().st_size < 5e6
        assert len(data_of(folder / "report.html")["responses"]) == 200

    def test_rows_without_a_record_are_counted(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        recorded = len((folder / "1.jsonl").read_text().splitlines())
        assert main(["report", str(folder)]) == 0
        assert "have a record" not in capsys.readouterr().out
        with (folder / "1.jsonl").open("a") as lines:
            lines.write(json.dumps({k: v for k, v in row(rollout()).items() if k != "prpo"}) + "\n")
        for shown in ([], ["--terminal"]):
            assert main(["report", str(folder), *shown]) == 0
            said = f"{recorded} of {recorded + 1} responses have a record (algorithm.prpo.dump_responses in training"
            assert said in capsys.readouterr().out
        assert data_of(folder / "report.html")["sample"]["skipped"] == 1


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["nowhere"], "nowhere is not there"),
            (["empty"], "holds no step's dump"),
            (["run", "--steps", "7"], "holds no step 7. It holds 1"),
            (["run/1.jsonl", "--steps", "1"], "is a file"),
            (["run", "-o", "run/1.jsonl"], "must end in .html"),
            (["run", "-o", "run/1.jsonl/page.html"], "cannot be written"),
            (["run", "--limit", "0"], "must be at least 1"),
            (["run", "--max-mb", "0"], "must be above 0"),
            (["run", "--filter", "failures"], "--filter needs --terminal"),
            (
                ["grpo"],
                "none of the 1 rows of step 1 of grpo has a PRPO record. If they are of a GRPO run, --prm MODEL",
            ),
            (["run", "--curve-steps", "-1"], "must be at least 0"),
            (["other/1.jsonl"], "no JSON"),
            (["blank"], "is empty"),
        ],
    )
    def test_says_what_is_wrong_and_leaves_the_dump(
        self,
        arguments: list[str],
        said: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.chdir(tmp_path)
        dump = write(Path("run"), varied()) / "1.jsonl"
        for name, text in (
            ("grpo", json.dumps({"input": "a", "output": "b", "score": 1.0, "step": 1}) + "\n"),
            ("other", "this is no dump\n"),
            ("blank", ""),
        ):
            Path(name).mkdir()
            Path(name, "1.jsonl").write_text(text)
        Path("empty").mkdir()
        before = dump.read_bytes()
        assert main(["report", *arguments]) == 2
        err = capsys.readouterr().err
        assert said in err
        assert "Traceback" not in err
        assert dump.read_bytes() == before
        assert sorted(path.name for path in Path("run").iterdir()) == ["1.jsonl"]
