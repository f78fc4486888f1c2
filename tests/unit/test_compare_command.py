# Copyright 2026 the verl-prpo authors
# SPDX-License-Identifier: Apache-2.0
"""`verl-prpo compare`: arms and seeds from arguments, what it prints, what it writes, and what it says when wrong."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from verl_prpo.cli.main import main
from verl_prpo.viewer.compare.arms import read_arms, with_baseline
from verl_prpo.viewer.compare.plots import style_of
from verl_prpo.viewer.compare.runs import LogError

ACCURACY = "val-core/sums/acc/mean@1"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MakeRun = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """A function that writes a log as verl's `file` logger does; validations at every second step."""

    def make(name: str, level: float, steps: int = 6, prm: bool = True, **more: Any) -> Path:
        rows: list[dict[str, Any]] = [{"step": 0, "data": {ACCURACY: 0.25}}]
        for step in range(1, steps + 1):
            data = {
                "critic/score/mean": level + step / 100,
                "response_length/mean": 30.0 + level,
                "actor/entropy": 0.2 + level,
                "timing_s/step": 4.0 + level + step / 7,
            }
            if prm:
                data |= {"prpo/process_score/mean": 0.6, "timing_s/prm_wait": 0.2, "timing_s/prm_submit": 0.1}
            if step % 2 == 0:
                data[ACCURACY] = level + step / 50
            rows.append({"step": step, "data": data | more})
        file = tmp_path / name / "metrics.jsonl"
        file.parent.mkdir(parents=True)
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return file

    return make


@pytest.fixture
def arms(make_run: MakeRun, tmp_path: Path) -> Path:
    """Three seeds of GRPO and three of PRPO that lie 0.1, 0.2 and 0.3 higher."""
    for seed, apart in ((1, 0.1), (2, 0.2), (10, 0.3)):
        make_run(f"grpo_seed{seed}", 0.2 + seed / 1000, prm=False)
        make_run(f"prpo_seed{seed}", 0.2 + seed / 1000 + apart)
    return tmp_path


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "240")


def printed_row(text: str, metric: str, arm: str) -> list[str]:
    """The cells of the arm's row in the printed table: final, difference, area, difference."""
    block = text[text.index(metric) :]
    line = next(line for line in block.splitlines() if f"│ {arm} " in line)
    return [cell.strip() for cell in line.split("│")][-4:]


class TestArms:
    def test_a_pattern_gives_the_seeds_of_a_label_in_the_order_of_their_numbers(self, arms: Path) -> None:
        (arm,) = read_arms([f"PRPO={arms}/prpo_seed*/metrics.jsonl"])
        assert [run.path.parent.name for run in arm.runs] == ["prpo_seed1", "prpo_seed2", "prpo_seed10"]

    def test_a_label_may_come_several_times(self, arms: Path) -> None:
        found = read_arms([f"a={arms}/prpo_seed1", f"b={arms}/grpo_seed1", f"a={arms}/prpo_seed2"])
        assert [(arm.label, len(arm.runs)) for arm in found] == [("a", 2), ("b", 1)]

    def test_paths_without_a_label_are_named_by_what_tells_them_apart(self, arms: Path) -> None:
        found = read_arms([f"{arms}/prpo_seed1/metrics.jsonl", f"{arms}/grpo_seed1/metrics.jsonl"])
        assert [arm.label for arm in found] == ["prpo_seed1", "grpo_seed1"]

    def test_a_path_that_exists_needs_no_label_though_it_holds_an_equals_sign(self, make_run: MakeRun) -> None:
        file = make_run("lr=1,seed=2", 0.2)
        (arm,) = read_arms([str(file)])
        assert arm.runs[0].path == file

    def test_the_baseline_comes_first(self, arms: Path) -> None:
        found = read_arms([f"PRPO={arms}/prpo_seed1", f"GRPO={arms}/grpo_seed1"])
        assert [arm.label for arm in with_baseline(found, "GRPO")] == ["GRPO", "PRPO"]
        assert [arm.label for arm in with_baseline(found, None)] == ["PRPO", "GRPO"]

    def test_no_run_counts_as_two_seeds(self, arms: Path) -> None:
        shutil.copy(arms / "prpo_seed1" / "metrics.jsonl", arms / "copy.jsonl")
        with pytest.raises(LogError, match="hold the same run"):
            read_arms([f"a={arms}/prpo_seed1", f"a={arms}/copy.jsonl"])

    def test_styles_differ_in_more_than_colour(self) -> None:
        styles = [style_of(index) for index in range(14)]
        assert len({(s["color"], s["marker"]) for s in styles}) == 14
        assert len({s["marker"] for s in styles[:7]}) == len({str(s["linestyle"]) for s in styles[:7]}) == 7


class TestTheTable:
    def test_pairs_of_seeds_give_the_difference_and_its_interval(self, arms: Path, capsys: Any) -> None:
        runs = [f"GRPO={arms}/grpo_seed*", f"PRPO={arms}/prpo_seed*"]
        assert main(["compare", *runs, "-o", str(arms / "out")]) == 0
        text = capsys.readouterr().out
        # Differences 0.1, 0.2, 0.3 of the pairs: 0.2 -+ 4.303 * 0.1 / sqrt(3) = 0.2 -+ 0.248.
        final = printed_row(text, "held-out accuracy, sums mean@1", "PRPO")[:2]
        assert final == ["0.5243", "+0.2 [-0.0484, +0.448]"]
        assert "paired by seed" in text
        for name in ("compare.png", "compare.html"):
            assert f"written: {arms / 'out' / name}" in text

    def test_without_a_folder_nothing_is_written_and_what_writes_is_said(
        self, arms: Path, capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "here").mkdir()
        monkeypatch.chdir(tmp_path / "here")
        assert main(["compare", f"GRPO={arms}/grpo_seed*", f"PRPO={arms}/prpo_seed*"]) == 0
        text = capsys.readouterr().out
        assert printed_row(text, "held-out accuracy, sums mean@1", "PRPO")[0] == "0.5243"
        assert "with -o DIR" in text and "written:" not in text
        assert list((tmp_path / "here").iterdir()) == []

    def test_a_metric_that_an_arm_lacks_is_a_dash_with_its_reason(self, arms: Path, capsys: Any) -> None:
        assert main(["compare", f"GRPO={arms}/grpo_seed1", f"PRPO={arms}/prpo_seed1", "-o", str(arms / "out")]) == 0
        text = capsys.readouterr().out
        assert printed_row(text, "PRM mean", "GRPO") == ["-"] * 4
        assert printed_row(text, "PRM mean", "PRPO") == ["0.6", "-", "0.6", "-"]
        assert "PRM mean: none in GRPO (only a run with a PRM logs it)" in text

    def test_trust_in_the_prm_is_compared_where_runs_log_it(self, make_run: MakeRun, capsys: Any) -> None:
        make_run("grpo", 0.2, prm=False)
        make_run("trust", 0.3, **{"prpo/trust/earned": 0.4, "prpo/trust/weight": 0.3})
        root = make_run("paper", 0.35, **{"prpo/trust/earned": 0.1}).parents[1]
        runs = [f"{name}={root / name}" for name in ("grpo", "trust", "paper")]
        assert main(["compare", *runs, "--metric", "prpo/trust/earned"]) == 0
        said = capsys.readouterr().out
        assert said.count("weight that the PRM has earned (") == 0 and "│ prpo/trust/earned" not in said
        assert printed_row(said, "weight that the PRM has earned", "trust")[0] == "0.4"
        assert printed_row(said, "weight that the PRM has earned", "paper")[0] == "0.1"
        assert printed_row(said, "weight of the PRM", "trust")[0] == "0.3"
        assert "weight of the PRM: none in grpo, paper (only a run with the credit trust logs it)" in said
        make_run("plain", 0.25)
        assert main(["compare", runs[0], f"plain={root / 'plain'}"]) == 0
        assert "weight" not in capsys.readouterr().out

    def test_one_seed_per_arm_gets_no_interval_and_is_told_why(self, arms: Path, capsys: Any) -> None:
        assert main(["compare", f"GRPO={arms}/grpo_seed1", f"PRPO={arms}/prpo_seed1", "-o", str(arms / "out")]) == 0
        text = capsys.readouterr().out
        assert printed_row(text, "held-out accuracy", "PRPO")[1] == "+0.1"
        assert "differences without an interval: an arm of one seed" in text

    def test_runs_of_different_length_are_compared_over_common_steps(self, make_run: MakeRun, capsys: Any) -> None:
        short, long = make_run("short", 0.2, steps=4), make_run("long", 0.3, steps=9)
        assert main(["compare", f"s={short}", f"l={long}", "-o", str(short.parent / "out")]) == 0
        text = capsys.readouterr().out
        assert "0-4 (3)" in text and "1-4 (4)" in text
        assert "s ends at step 4, l to 9" in text
        assert printed_row(text, "outcome mean, training", "l")[0] == "0.325"

    def test_more_metrics_by_name_and_values_that_are_no_numbers(self, make_run: MakeRun, capsys: Any) -> None:
        file = make_run("run", 0.2, **{"actor/grad_norm": None})
        with file.open("a") as log:
            log.write(json.dumps({"step": 7, "data": {"actor/grad_norm": 0.5}}) + "\n")
        assert main(["compare", f"run={file}", "--metric", "actor/grad_norm", "-o", str(file.parent / "out")]) == 0
        text = capsys.readouterr().out
        assert printed_row(text, "actor/grad_norm", "run")[0] == "0.5"
        assert "run has 6 of 7 values NaN or infinite" in text
        assert "one arm" in text

    def test_names_cannot_steer_the_terminal_nor_stop_the_drawing(
        self, make_run: MakeRun, tmp_path: Path, capsys: Any
    ) -> None:
        metric = "x\x9b\ud800"
        plain, odd = make_run("a", 0.3), make_run("b", 0.4, **{metric: 1.0})
        runs = [f"bad\x1b[2J={plain}", f"\udcff={odd}"]
        assert main(["compare", *runs, "--metric", metric, "-o", str(tmp_path / "out")]) == 0
        printed = capsys.readouterr().out
        assert "bad<U+001B>[2J" in printed
        page = (tmp_path / "out" / "compare.html").read_text()
        assert "bad&lt;U+001B&gt;[2J" in page
        assert "x&lt;U+009B&gt;&lt;U+D800&gt;" in page
        assert not re.search("[\x1b\x9b]", printed + page)

    def test_what_was_wrong_with_a_log_is_said(self, make_run: MakeRun, capsys: Any) -> None:
        file = make_run("run", 0.2, steps=6)
        lines = file.read_text().splitlines(keepends=True)
        file.write_text("".join([*lines, *lines[5:], '{"step": 7, "da']))
        assert main(["compare", f"run={file}", "-o", str(file.parent / "out")]) == 0
        text = capsys.readouterr().out
        assert "run was resumed: 2 steps" in text
        assert "1 lines of metrics.jsonl are cut or broken" in text


class TestMistakes:
    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["{}/nowhere"], "there is no .*nowhere"),
            (["PRPO={}/nowhere*"], r"there is no .*nowhere\* \(label PRPO\)"),
            (["={}/prpo_seed1"], "label before = is empty"),
            (["a={}/prpo_seed1", "b={}/prpo_seed1"], "hold the same run"),
            (["GRPO={}/grpo_seed1", "grpo={}/grpo_seed2"], "differ in case only"),
            (["GRPO={}/grpo_seed1", "--baseline", "GROP"], "did you mean GRPO"),
            (["GRPO={}/grpo_seed1", "--metric", "actor/entropi"], r"did you mean actor/entropy\?"),
            (["GRPO={}/grpo_seed1", "--metric", "accc"], r"did you mean val-core/sums/acc/mean@1\?"),
            (["GRPO={}/grpo_seed1", "--metric", "zzz"], "they log actor/entropy, critic/score/mean, "),
            (["{}/empty"], "no log with steps"),
        ],
    )
    def test_each_is_named_and_nothing_is_written(
        self, arms: Path, capsys: Any, arguments: list[str], said: str
    ) -> None:
        (arms / "empty").mkdir()
        out = arms / "out"
        assert main(["compare", *(argument.format(arms) for argument in arguments), "-o", str(out)]) == 2
        assert re.search(said, capsys.readouterr().err)
        assert not out.exists()

    def test_a_log_without_a_metric_to_compare(self, tmp_path: Path, capsys: Any) -> None:
        (tmp_path / "run.jsonl").write_text('{"step": 1, "data": {"actor/lr": 1e-6}}\n')
        assert main(["compare", str(tmp_path / "run.jsonl"), "-o", str(tmp_path / "out")]) == 2
        assert "Name what they have with --metric" in capsys.readouterr().err


HOSTILE = "_<script>throw 'run'</script>$x_{$"


class TestWhatIsWritten:
    @pytest.fixture
    def written(self, arms: Path) -> Path:
        assert main(["compare", f"GRPO={arms}/grpo_seed*", f"{HOSTILE}={arms}/prpo_seed*", "-o", str(arms)]) == 0
        return arms

    def test_the_picture_has_a_light_background_and_a_curve(self, written: Path) -> None:
        image = Image.open(written / "compare.png").convert("RGB")
        counts = {colour: count for count, colour in image.getcolors(image.width * image.height) or []}
        assert counts[(255, 255, 255)] > 0.5 * image.width * image.height
        for colour in ((0, 0x72, 0xB2), (0xD5, 0x5E, 0)):
            assert counts.get(colour, 0) > 500

    def test_the_page_names_no_address_and_holds_no_script(self, written: Path) -> None:
        page = (written / "compare.html").read_text()
        assert "<script" not in page
        assert "&lt;script&gt;" in page
        namespaces = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
        assert set(re.findall(r"https?://[^\"' <)]+", page)) <= namespaces

    def test_the_page_in_a_browser(self, written: Path, browser: Any) -> None:
        faults: list[str] = []
        for width, scheme in ((1280, "light"), (375, "dark")):
            page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
            page.on("console", lambda message: faults.append(message.text))
            page.on("pageerror", lambda error: faults.append(str(error)))
            page.on("request", lambda request: None if request.url.startswith("file:") else faults.append(request.url))
            page.goto((written / "compare.html").as_uri())
            assert HOSTILE in page.title()
            assert page.locator("figure svg").count() == 7
            assert page.evaluate("document.documentElement.scrollWidth") == width
            stroke = "getComputedStyle(document.querySelector('figure svg [style*=\"--arm0\"]')).fill"
            assert page.evaluate(stroke) == {"light": "rgb(0, 114, 178)", "dark": "rgb(86, 180, 233)"}[scheme]
        assert faults == []


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()
