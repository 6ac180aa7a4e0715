"""The maths and code domains: right references, tests that separate right from wrong, and answers in that form."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import pytest
from worked_problems import Worked, worked

from reprise.core.errors import UserError
from reprise.core.types import Status, Task
from reprise.data.demo import code, maths
from reprise.data.demo.steps import EDGES, INPUTS, OPERATIONS, Step, outputs, slips
from reprise.data.sft.loading import load_sources
from reprise.data.sft.rendering import ConversationCodec
from reprise.launch.recipe import loading
from reprise.models.tiny import character_tokenizer
from reprise.rewards.base import Answer, Verifier
from reprise.rewards.parsing import last_boxed, last_code_block
from reprise.rewards.registry import build_verifiers

SIZES: dict[str, dict[str, Any]] = {"maths": {"numbers": (2, 9)}, "code": {"steps": (1, 3), "tests": 3}}
STEPS = [
    Step(variable, name, argument)
    for variable, operations in OPERATIONS.items()
    for name, operation in operations.items()
    for argument in operation.arguments
]


def functions(count: int = 300, split: str = "train", seed: int = 0) -> list[Task]:
    return list(code.tasks(seed, count, split, **SIZES["code"]))  # type: ignore[arg-type]


def problems(count: int = 300, split: str = "train", seed: int = 0) -> list[Task]:
    return list(maths.tasks(seed, count, split, **SIZES["maths"]))  # type: ignore[arg-type]


def steps_of(task: Task) -> list[Step]:
    variable = re.fullmatch(r"f\((x|s)\): .*", str(task.prompt))[1]  # type: ignore[index]
    return [Step(variable, operation, argument) for operation, argument in task.metadata["steps"]]


def in_box(trace: Worked) -> Fraction:
    """The value of a boxed answer, read without the verifier's help."""
    written = last_boxed(trace.response)
    assert written is not None
    return Fraction(re.sub(r"\\frac\{(-?\d+)\}\{(\d+)\}", r"\1/\2", written))


def traces_of(domain: str, style: str, count: int = 300) -> list[Worked]:
    return list(worked(domain, SIZES[domain], style, count))


@pytest.mark.parametrize("step", STEPS, ids=lambda step: f"{step.words} ({step.variable})")
def test_a_step_does_what_its_python_does_and_may_be_mistaken_for_another(step: Step) -> None:
    python = compile(step.code, "step", "eval")
    assert step.outputs(INPUTS[step.variable]) == [
        eval(python, {step.variable: value})  # noqa: S307 - the generator's own text
        for value in INPUTS[step.variable]
    ]
    assert slips(step)
    assert all(slip != step and slip.code != step.code and slip.variable == step.variable for slip in slips(step))
    assert all(slip in STEPS for slip in slips(step))


def test_expected_values_are_those_of_the_program_that_solves_the_task() -> None:
    for task in functions():
        _, program = code.solve(task, Random(0), 0.0)
        namespace: dict[str, Any] = {}
        exec(program, namespace)  # noqa: S102 - the generator's own text
        for test in task.answer["tests"]:
            got = namespace["f"](*test["args"], **test["kwargs"])
            assert (got, type(got)) == (test["expected"], type(test["expected"]))


def test_the_tests_separate_a_function_from_what_it_may_be_mistaken_for() -> None:
    wrong = passed = first = 0
    for task in functions():
        steps, tests = steps_of(task), task.answer["tests"]
        for i, step in enumerate(steps):
            for slip in slips(step):
                program = [*steps[:i], slip, *steps[i + 1 :]]
                got = outputs(program, [test["args"][0] for test in tests])
                if outputs(program, INPUTS[step.variable]) != outputs(steps, INPUTS[step.variable]):
                    wrong += 1
                    passed += got == [test["expected"] for test in tests]
                    first += got[0] != tests[0]["expected"]
    assert wrong > 1000
    assert passed / wrong < 0.02
    assert first / wrong > 0.85  # so that verifying a wrong program costs one run


def test_edge_cases_are_tested_and_no_step_is_superfluous() -> None:
    for task in functions():
        steps, inputs = steps_of(task), [test["args"][0] for test in task.answer["tests"]]
        variable = steps[0].variable
        assert {INPUTS[variable][at] for at in EDGES[variable]} <= set(inputs)
        assert len(inputs) == len(set(inputs)) == SIZES["code"]["tests"]
        for i in range(len(steps)):
            assert outputs(steps[:i] + steps[i + 1 :], INPUTS[variable]) != outputs(steps, INPUTS[variable])


def test_functions_that_do_the_same_are_on_the_same_side_of_the_split() -> None:
    def behaviours(split: str) -> set[str]:
        tasks = functions(400, split)
        return {repr((steps_of(t)[0].variable, outputs(steps_of(t), INPUTS[steps_of(t)[0].variable]))) for t in tasks}

    assert not behaviours("train") & behaviours("held_out")


@pytest.mark.parametrize("count", [0, 11, 2.5])
def test_a_number_of_tests_that_cannot_be_is_refused(count: Any) -> None:
    with pytest.raises(UserError, match=r"tests: .* is no number of tests from 1 to 10"):
        next(iter(code.tasks(0, 1, "train", steps=(1, 3), tests=count)))


def test_a_worked_function_reads_as_documented() -> None:
    task = Task("1", "f(x): multiply by 3, add 4", "code", "code", metadata={"steps": [["multiply", 3], ["add", 4]]})
    assert code.solve(task, Random(0), 0.0) == ("x*3;x+4;", "def f(x):\n x=x*3\n x=x+4\n return x")


def test_references_solve_the_problems_that_are_posed() -> None:
    for task in problems():
        reference = Fraction(re.sub(r"\\frac\{(\d+)\}\{(\d+)\}", r"\1/\2", task.answer))
        if equation := re.fullmatch(r"(\d+)x([+-]\d+)=(\d+), x=", str(task.prompt)):
            a, b, c = map(int, equation.groups())
            assert a * reference + b == c
        else:
            left, sign, right = re.fullmatch(r"(\d+/\d+)([-+*])(\d+/\d+)=", str(task.prompt)).groups()  # type: ignore[union-attr]
            one, other = Fraction(left), Fraction(right)
            assert reference == {"+": one + other, "-": one - other, "*": one * other}[sign]


def test_swapped_operands_and_multiples_of_an_equation_do_not_cross_the_split() -> None:
    held_out, train = ({str(t.prompt) for t in problems(n, s)} for n, s in ((400, "held_out"), (2000, "train")))
    swapped = {re.sub(r"^(\d+/\d+)([+*])(\d+/\d+)=", r"\3\2\1=", prompt) for prompt in held_out}
    assert not (held_out | swapped) & train
    assert not any(
        f"{k * int(a)}x{k * int(b):+d}={k * int(c)}, x=" in train
        for a, b, c in re.findall(r"(\d+)x([+-]\d+)=(\d+), x=", "\n".join(held_out))
        for k in (2, 3, 4)
    )


def test_clean_maths_traces_are_right_in_several_written_forms() -> None:
    clean = traces_of("maths", "clean")
    assert all(in_box(t) == Fraction(re.sub(r"\\frac\{(\d+)\}\{(\d+)\}", r"\1/\2", t.task.answer)) for t in clean)
    forms = {re.sub(r"\d+", "1", last_boxed(t.response) or "").replace("-", "") for t in clean}
    assert forms == {r"\frac{1}{1}", "1/1", "1", "1.1"}


def test_what_a_trace_writes_is_within_the_recipe_s_limits_and_the_policy_s_vocabulary(tmp_path: Path) -> None:
    recipe = loading.load(Path(__file__).resolve().parents[2] / "recipes" / "maths_and_code.yaml")
    tokenizer = character_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    assert recipe.before is not None
    (stage,) = recipe.before.sft.stages
    few = [source.model_copy(update={"args": source.args | {"count": 300}}) for source in stage.sources]
    for source in load_sources(few, ConversationCodec(tmp_path), stage.largest_context):
        for conversation in (source[i] for i in range(len(source))):
            response = int(conversation.trainable.sum())
            assert tokenizer.unk_token_id not in conversation.ids
            assert response < recipe.rollout.max_response_tokens  # the token that ends it included
            prompt = len(conversation.ids) - response
            assert prompt + recipe.rollout.max_response_tokens <= recipe.rollout.engine.max_model_len


@pytest.fixture(scope="module")
def verifiers() -> Iterator[dict[str, Verifier]]:
    recipe = loading.load(Path(__file__).resolve().parents[2] / "recipes" / "maths_and_code.yaml")
    built = build_verifiers(recipe.rewards)
    yield built
    for verifier in built.values():
        verifier.close()


def scores(verifiers: dict[str, Verifier], made: list[Worked]) -> list[float]:
    verdicts = verifiers[made[0].task.verifier].verify([Answer(trace.task, trace.response) for trace in made])
    assert all(verdict.status is Status.SCORED for verdict in verdicts), verdicts
    return [float(verdict.score or 0) for verdict in verdicts]


@pytest.mark.slow
@pytest.mark.parametrize("domain", list(SIZES))
def test_the_verifiers_find_clean_traces_right_and_the_others_often_wrong(
    verifiers: dict[str, Verifier], domain: str
) -> None:
    clean = traces_of(domain, "clean", 60)
    for trace in clean:
        verifiers[trace.task.verifier].check_task(trace.task)
    assert scores(verifiers, clean) == [1.0] * 60
    for style in ("sloppy", "direct"):
        found = scores(verifiers, traces_of(domain, style, 60))
        assert 0.3 < sum(found) / len(found) < 0.9


def test_a_program_counts_only_as_a_fenced_block_after_the_reasoning() -> None:
    for trace in traces_of("code", "clean", 20):
        assert last_code_block(trace.response) == code.solve(trace.task, Random(0), 0.0)[1]
        assert last_code_block(trace.response.replace("</think>", "")) is None
