"""The report: self-contained, safe, and made from whatever there is."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reprise.launch import reporting
from reprise.launch.reporting.metrics import CORE, MetricsLog
from reprise.launch.reporting.report import write_report
from reprise.launch.reporting.report.plots import moving_average
from reprise.launch.reporting.run_folder import RunFolder, Sample
from reprise.launch.reporting.statistics import EvalRecord, Evaluation
from reprise.launch.reporting.summary import Summary, TrajectoryCounts
from reprise.launch.reporting.verifiers import Latency

VOID = {"meta", "br", "img", "hr", "input", "link"}


def evaluation(passed: int) -> Evaluation:
    return Evaluation.of(
        EvalRecord(domain, f"{domain}-{i}", 0, i < passed, True, False, 40) for domain in ("addition", "reversal")
        for i in range(50)
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> RunFolder:
    """The folder of a short run that finished, with its report."""
    run = RunFolder.create(tmp_path_factory.mktemp("runs"), "demo")
    with MetricsLog(run.metrics) as log:
        log.write(0, evaluation(20).metrics())
        for step in range(1, 31):
            metrics = dict.fromkeys(CORE, 0.1) | {"time/step": 2.0 + step / 10, "reward/addition": step / 30}
            metrics |= {"policy/entropy": float("nan") if step == 7 else 1 / step}
            log.write(step, metrics | (evaluation(20 + step // 2).metrics() if step % 10 == 0 else {}))
    counts = TrajectoryCounts(sampled=1000, trained=1200, reused=300)
    summary = Summary("demo", before=evaluation(20), after=evaluation(35), steps=30, trajectories=counts, overlap=0.6)
    summary.finished()
    summary.write(run)
    run.add_samples(
        Sample(
            when, "addition", "addition-1", "What is 1 + 1?", f"<think>{when}</think><ans>2</ans>", "scored", 1.0, "2"
        )
        for when in ("before", "after")
    )
    run.recipe.write_text("name: demo\nsteps: 30\n")
    write_report(run.path)
    return run


@pytest.fixture
def run(whole, tmp_path) -> RunFolder:
    """A copy of it to spoil, without metrics, so that no plot is drawn."""
    shutil.copytree(whole.path, tmp_path / "demo", ignore=shutil.ignore_patterns("metrics.jsonl"))
    return RunFolder(tmp_path / "demo")


class Structure(HTMLParser):
    """Checks that tags are closed in order; collects attributes and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(html)
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def report(run: RunFolder) -> Structure:
    return Structure(write_report(run.path).read_text())


def test_the_report_is_well_formed_and_has_every_plot(whole):
    assert Structure(whole.report.read_text()).tags.count("svg") == 14


def test_nothing_is_fetched_and_nothing_is_run(whole):
    html = whole.report.read_text()
    page = Structure(html)
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", html)
    assert not {"script", "link", "img", "iframe", "object", "embed"} & set(page.tags)
    for name, value in page.attributes:
        assert name not in {"src", "srcset"} and not name.startswith("on")  # noqa: PT018
        assert name != "href" or (value or "").startswith("#")


def test_the_headline_and_every_part_is_there(whole):
    text = Structure(whole.report.read_text()).text
    for part in ("demo", "finished", "40.0% → 70.0%", "+30.0 points", "25.0%", "Held-out pass@1", "Training reward",
                 "Response length", "Entropy", "Mismatch", "Staleness", "Reuse", "Gradient norm", "Time of a step",
                 "Idle shares", "Throughput", "<think>after</think>", "What is 1 + 1?", "steps: 30"):  # fmt: skip
        assert part in text, part


@pytest.mark.parametrize("place", ["prompt", "response", "task_id", "domain", "expected", "status", "when"])
def test_text_of_a_model_or_task_is_shown_and_never_obeyed(run, place):
    attack = "<script>alert(1)</script><img src=x onerror='alert(1)'>\x1b[31m\x00" + chr(0xDC00)
    sample = {
        "when": "after",
        "domain": "addition",
        "task_id": "zz",
        "prompt": "p",
        "response": "r",
        "status": "scored",
    }
    run.samples.write_text(json.dumps(sample | {place: attack}))
    page = report(run)
    assert not {"script", "img"} & set(page.tags)
    assert "<script>alert(1)</script>" in page.text
    assert "\x1b" not in page.text


def test_no_template_switches_escaping_off():
    templates = Path(reporting.__file__).parent / "report" / "templates"
    pages = {file.name: file.read_text() for file in templates.glob("*.html")}
    assert pages.keys() == {"run.html", "rl.html", "sft.html"}
    assert [name for name, text in pages.items() if re.search(r"\|\s*safe\b|autoescape", text)] == []


def test_names_of_domains_recipe_and_reason_are_escaped_too(tmp_path):
    run = RunFolder.create(tmp_path, "demo")
    attack = "<script>alert(1)<"
    run.recipe.write_text(attack)
    run.metrics.write_text(json.dumps({"step": 1, f"reward/{attack}": 0.5, "time/step": 1.0, "reward/mean": 0.5}))
    summary = {
        "status": attack,
        "reason": attack,
        "nodes": {attack: [attack]},
        "failures": {attack: 1},
        "fallen": [attack],
    }
    summary["pass_at_1"] = {"before": {attack: 0.5}}
    run.summary.write_text(json.dumps(summary))
    assert "script" not in report(run).tags


@pytest.mark.parametrize("absent", ["metrics", "summary", "samples", "recipe"])
def test_what_is_missing_is_said_and_the_rest_is_shown(run, absent):
    path = getattr(run, absent)
    path.unlink(missing_ok=True)
    page = report(run)
    assert path.name in page.text
    assert "Not everything is here" in page.text


def test_an_empty_folder_makes_a_report_of_what_is_missing(tmp_path):
    page = report(RunFolder.create(tmp_path, "empty"))
    assert "No training step was recorded" in page.text
    assert page.text.count("could not be read") == 3, "samples are left by evaluations alone"


def test_a_run_interrupted_before_its_first_step_shows_its_evaluation_and_why(tmp_path):
    run = RunFolder.create(tmp_path, "early")
    with MetricsLog(run.metrics) as log:
        log.write(0, evaluation(20).metrics())
    summary = Summary("early", before=evaluation(20))
    summary.failed(KeyboardInterrupt())
    summary.write(run)
    text = report(run).text
    for part in ("interrupted", "Ctrl-C", "40.0%", "No training step was recorded"):
        assert part in text


def test_a_run_of_one_step_can_be_drawn(tmp_path):
    run = RunFolder.create(tmp_path, "one")
    with MetricsLog(run.metrics) as log:
        log.write(1, dict.fromkeys(CORE, 0.5))
    assert report(run).tags.count("svg") == 13  # no evaluation


def test_what_verifiers_did_has_its_own_curves_and_warnings_are_shown(tmp_path):
    run = RunFolder.create(tmp_path, "two domains")
    with MetricsLog(run.metrics) as log:
        for step in (1, 2, 3):
            metrics = {f"unparseable/{domain}": 0.1 * step for domain in ("maths", "code")}
            metrics |= {f"verify/seconds_{q}/{verifier}": 0.2 for q in ("p50", "p95") for verifier in ("math", "code")}
            log.write(step, dict.fromkeys(CORE, 0.5) | metrics)
    summary = Summary("two domains", warnings=["step 3: maths: <30%> unreadable"])
    summary.answers = {"maths": {"scored": 70, "unparseable": 30, "infra_error": 0}}
    summary.verifiers = {"math": Latency(100, p50=0.25, p95=1.5, queue=0.0)}
    summary.write(run)
    page = report(run)
    assert page.tags.count("svg") == 15
    for part in ("Unparseable answers", "Verifier latency", "code, 95%", "maths: <30%> unreadable", "maths 30.0%",
                 "math 0.25 s a group (95%: 1.5 s)"):  # fmt: skip
        assert part in page.text, part


def test_what_verifiers_failed_with_is_shown_and_never_obeyed(run):
    summary = json.loads(run.summary.read_text())
    evil = "</pre><img src=x onerror=alert(1)>\x1b[2J"
    odd = [{"what": evil, "traceback": evil, "answers": 1234}, {"answers": "many"}, "no mapping", None]
    run.summary.write_text(json.dumps(summary | {"infra_errors": odd}))
    page = report(run)
    assert "img" not in page.tags
    assert "1,234 answers: </pre><img src=x" in page.text


def test_half_a_line_at_the_end_is_left_out_and_counted(run):
    run.metrics.write_text('{"step": 1, "reward/mean": 0.5}\n{"step": 2, "reward/me')
    assert "metrics.jsonl: 1 of 2 lines could not be read" in report(run).text


def test_a_summary_that_is_not_json_is_said(run):
    run.summary.write_text('{"steps": 3')
    assert "summary.json is not valid JSON" in report(run).text


def test_a_long_response_is_cut_and_says_by_how_much(run):
    run.add_samples([Sample("after", "long", "1", "p", "x" * 25_000, "scored", 0.0)])
    assert "5,000 more characters" in report(run).text


def test_reports_of_the_same_files_are_equal(whole):
    first = whole.report.read_text()
    assert write_report(whole.path) == whole.report
    assert whole.report.read_text() == first


def test_a_moving_average_skips_what_is_not_a_number():
    assert moving_average([1.0, float("nan"), 3.0, 5.0], 2) == [1.0, 1.0, 3.0, 4.0]


values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["all", "before", "trained"]), inner),
    max_leaves=4,
)
keys = st.sampled_from([*Summary("x").as_dict(), "other"])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(summary=st.dictionaries(keys, values, max_size=6), sample=st.dictionaries(st.sampled_from(
    ["when", "domain", "task_id", "prompt", "response", "score", "status", "expected"]), values))  # fmt: skip
def test_no_value_in_a_file_can_stop_the_report(tmp_path, summary, sample):
    folder = tmp_path / "run"
    folder.mkdir(exist_ok=True)
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "samples.jsonl").write_text(json.dumps(sample))
    Structure(write_report(folder).read_text())
