# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""Score functions in `load_prm` and in the commands that open a PRM, and the examples of examples/step_rewards."""

import asyncio
import json
import sys
from pathlib import Path

import pytest
from aiohttp import web
from test_score_function import FILE

from verl_prpo import load_prm
from verl_prpo.cli.main import main
from verl_prpo.prm.families.base import PrmError
from verl_prpo.prm.results import PrmFailure

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "step_rewards"
QUESTION = [{"role": "user", "content": "What is 1 + 1?"}]
OF_THE_ROW = [f"++reward.prm.score_function.path={FILE}", "++reward.prm.score_function.name=of_the_row"]


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))


class TestLoadPrm:
    def test_scores_with_the_row_and_its_options(self):
        prm = load_prm(FILE, score_function={"name": "of_the_row", "timeout": 30})
        try:
            assert (prm.score_range, prm.prior_mean, prm.max_model_len) == ((0.0, 1.0), 0.5, None)
            assert prm.score(QUESTION, ["is 2", "is 3"], ground_truth="3", extra_info={}) == [0.0, 1.0]
            batch = [(QUESTION, ["is 2"]), (QUESTION, [" "])]
            rows = [{"ground_truth": "2"}, {}]
            first, wordless = prm.score_batch(batch, return_exceptions=True, rows=rows)
            assert first == [1.0] and wordless.kind is PrmFailure.BAD_INPUT
            with pytest.raises(PrmError, match="1 for 2 responses"):
                prm.score_batch(batch, rows=rows[:1])
        finally:
            prm.close()

    @pytest.mark.parametrize(
        ("named", "said"),
        [
            ("score", "the file defines no score"),
            (3, "score_function must be the function's name, or a dict"),
            ({"name": "later", "retry": 1}, r"score_function\.retry is not a setting; did you mean .*retries"),
        ],
    )
    def test_what_cannot_be_used_is_refused(self, named, said):
        with pytest.raises(PrmError, match=said):
            load_prm(FILE, score_function=named)


def responses(folder: Path) -> Path:
    """Right and wrong responses to 40 prompts, with their truth, in the form of verl's dump."""
    rows = []
    for i in range(40):
        for said in (i, i + 1):
            text = f"So we add one and {i}.\n\nIt is {said}!"
            prompt = f"user\nWhat is {i}?\nassistant\n"
            rows.append({"input": prompt, "output": text, "gts": f"is {i}!", "score": float(said == i)})
    folder.mkdir()
    (folder / "1.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_calibrate_hands_the_ground_truth_of_a_dump_to_the_function(tmp_path, capsys):
    dump = responses(tmp_path / "dump")
    main(["calibrate", str(dump), "--json", *OF_THE_ROW])
    found = json.loads(capsys.readouterr().out)
    assert found["failures"] == {} and found["segments"] == 160
    assert found["mean"] == pytest.approx(0.25)  # one segment of four says the truth


def test_the_probe_scores_changed_responses_with_the_same_row(tmp_path, capsys):
    dump = responses(tmp_path / "dump")
    status = main(["calibrate", str(dump), "--probe", "--json", "--limit", "20", *OF_THE_ROW])
    found = json.loads(capsys.readouterr().out)
    assert status in (0, 1) and found["findings"]


def test_a_report_of_a_grpo_dump_asks_the_function(tmp_path, capsys):
    dump = responses(tmp_path / "dump")
    assert main(["report", str(dump), *OF_THE_ROW, "--terminal", "--plain", "--limit", "4"]) == 0
    assert f"scored by {FILE}:of_the_row" in " ".join(capsys.readouterr().out.split())


class TestDoctor:
    def check(self, *overrides):
        from verl_prpo.cli.doctor import _diagnose_function
        from verl_prpo.console.findings import Report
        from verl_prpo.doctor.worked_example import BUILT_IN
        from verl_prpo.settings.prpo import PrpoConfig, prm_config

        name, path, credit = overrides
        report = Report(None)
        prm = prm_config({"prm": {"score_function": {"path": str(path), "name": name}}})
        _diagnose_function(report, prm, PrpoConfig(credit=credit), BUILT_IN)
        return {check["check"]: check for check in json.loads(report.as_json())["checks"]}

    def test_the_rule_tells_the_wrong_step_of_the_example(self):
        found = self.check("score", EXAMPLES / "equations.py", "prpo")
        assert [found[name]["state"] for name in ("score function", "reading", "scores")] == ["ok", "ok", "ok"]
        assert "right 1.0000, wrong 0.0000" in found["scores"]["found"]

    def test_a_function_that_cannot_be_loaded_fails(self):
        found = self.check("other_names", FILE, "prpo")
        assert found["score function"]["state"] == "FAILED" and "cannot be called" in found["score function"]["found"]
        assert found["scores"]["state"] == "skipped"

    def test_the_credit_must_fit_the_range(self):
        assert "credit=pure reads scores on [0, 1]" in self.check("signed", FILE, "pure")["reading"]["found"]


class TestExamples:
    def test_equations_are_checked_where_they_can_be(self):
        from equations import equations, score

        steps = {
            "A tray: 12 * 8 = 96 rolls.": 1.0,
            "After that 96 - 70 = 46 are left.": 0.0,
            "(1) 7+5=12\n2. 3+4=7": 1.0,
            "We get $12 \\times 8 = 96 = 90 + 5$.": 0.0,
            "\\frac{1}{2} + \\frac{1}{3} = \\frac{5}{6}": 1.0,
            "Bold **3+4=8** and 3×4=12": 0.0,
            "x + 3 = 10, 2x = 10, so 5 = 2 + x and f(3) = 10": None,
            "10 / 3 = 3.33, which is rounded": None,
            "The area is 2\\pi = 6, and 3 + 4 = 7%": None,
            "costs $5 + $6 = $11": None,
            "Now for the rest.": None,
        }
        assert dict(zip(steps, score([], list(steps)), strict=True)) == steps
        assert list(equations("3 = 2+1 = 3")) == [("3", "2+1"), ("2+1", "3")]

    def test_unit_tests_belong_to_the_step_that_completes_them(self):
        from unit_tests import score

        block = "```python\n{}\n```\n"
        segments = [
            "Double:\n" + block.format("def double(x):\n    return 2 * x"),
            "Four times:\n" + block.format("def four(x):\n    return double(x) + 1"),
            "Done.",
        ]
        tests = ["assert double(2) == 4", "assert double(0) == 0", "assert four(1) == 4", "assert four(0) == 1"]
        try:
            assert score([], segments, {"step_tests": tests}) == [1.0, 0.5, None]
        except RuntimeError as error:  # where a user may make no namespace
            assert "kwargs.network=true" in str(error)
            assert score([], segments, {"step_tests": tests}, network=True) == [1.0, 0.5, None]

    @pytest.mark.parametrize(
        "code",
        [
            "x = bytearray(10**9)",
            "open('a', 'wb').write(b'x' * 10**7)",
            "exit(0)",
            "import os; os._exit(0)",
            "[open('/dev/null') for _ in range(100)]",
            "import os; assert 'VIRTUAL_ENV' in os.environ or 'PYTHONPATH' in os.environ",
        ],
    )
    def test_limits_hold(self, code):
        from unit_tests import passes

        assert passes("done = 1", "assert done", network=True)
        assert not passes(code, "assert True", network=True)

    def test_code_without_network_cannot_reach_this_machine(self):
        from unit_tests import passes

        code = (
            "import socket\ns = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()\n"
            "socket.create_connection(s.getsockname(), timeout=2)"
        )
        assert passes(code, "assert s", network=True)
        try:
            assert not passes(code, "assert s")
        except RuntimeError as error:
            assert "user namespaces are not allowed" in str(error)

    def test_a_server_is_asked_and_its_error_is_raised(self):
        from server import score

        async def answer(request):
            asked = await request.json()
            if asked["ground_truth"] == "busy":
                return web.Response(status=503, text="busy")
            return web.json_response({"scores": [float(asked["ground_truth"] in s) for s in asked["segments"]]})

        async def ask():
            app = web.Application()
            app.add_routes([web.post("/score", answer)])
            runner = web.AppRunner(app)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            url = f"http://127.0.0.1:{runner.addresses[0][1]}/score"
            try:
                assert await score(QUESTION, ["is 2", "is 3"], url, "2") == [1.0, 0.0]
                with pytest.raises(RuntimeError, match="HTTP 503: busy"):
                    await score(QUESTION, ["is 2"], url, "busy")
            finally:
                await sys.modules["server"]._session().close()
                await runner.cleanup()

        asyncio.run(ask())

    def test_the_toy_rule_loads_with_what_lies_beside_it(self):
        prm = load_prm(ROOT / "examples" / "toy" / "step_reward.py", score_function="score")
        try:
            segments = ["So (1) 7+5=2\n", "Next (2) 2*3=7\n", "The answer is \\boxed{2}", "Well.\n"]
            assert prm.score(QUESTION, segments, ground_truth="2") == [1.0, 0.0, 1.0, None]
        finally:
            prm.close()
