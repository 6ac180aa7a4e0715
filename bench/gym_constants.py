"""What the best constant answer earns on each data set of reasoning-gym: it should be little.

    python bench/gym_constants.py [--entries 30] [--sets game_of_life,gcd] > table.md

Each candidate (common junk, empty shapes, small numbers, the answers of other entries) is given as the answer to every
entry of a data set that is not its own. In the table: the best mean score, which is high where one of few possible
answers is often right (yes, no); and the best mean of partial credit alone, which nothing excuses. Scored as the
verifier does, but in this process: run it on nothing but these candidates. About five minutes on one core.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import multiprocessing
import signal
import sys
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from reprise.rewards.verifiers.reasoning_gym.verifier import FOOLED, data_sets

_SHORT = """0 1 -1 2 3 4 5 6 7 8 9 10 12 15 20 24 25 30 42 50 64 100 128 365 500 1000 5000 10000 0.0 0.5 0.1 1.0 50%
    1/2 0/1 00:00 12:00 12:00:00 06:00:00.000 2000-01-01 Monday Sunday January Yes No yes no True False true
    false None null A B C D a e the x 0x I V X [] {} () [[]] [0] [1] [[0]] "" [""] 0,0 {}{} ? . , # - _ *
    infeasible impossible undetermined empty (1+2+1)*6 8*3*1*1 4*6 nan inf up down left right LDUR R U
    UDLRUDLRUDLR"""
JUNK = [
    *("", " ", "\n", "I do not know.", "no solution", "0 days", "100 days", "[0, 0]", "[1, 2, 3]", "(0, 0)", "0 0"),
    *_SHORT.split(),
    *(json.dumps([0] * n) for n in (3, 5, 10)),
    *(json.dumps([[0] * n] * n) for n in (3, 5, 10, 20)),
    *("\n".join([" ".join(["0"] * n)] * n) for n in (3, 4, 5, 9)),
    *("0" * n for n in (4, 8, 16)),
]


_SECONDS = 2.0  # of CPU for one score


class Best(NamedTuple):
    """What constant answers earn on a data set.

    mean     the best mean score over the entries, of `answer`, which is right for `right` of them
    partial  the best mean of what is paid for answers that are not right
    fooled   a constant that is right for every entry, though their answers differ
    """

    dataset: str
    entries: int
    mean: float = 0.0
    right: int = 0
    answer: str = ""
    partial: float = 0.0
    fooled: str = ""
    error: str = ""


def candidates(answers: Sequence[str], few: bool) -> list[str]:
    """Constant answers to try on entries with these answers."""
    common = [answer for answer, _ in Counter(answers).most_common(12)]
    if few:
        return list(dict.fromkeys([*JUNK[:16], *common[:4]]))
    zeros = ["".join("0" if char.isdigit() else char for char in answer) for answer in answers[:4]]
    joined = ["\n".join(answers), " ".join(answers), ", ".join(answers)]
    parts = [part for answer in answers[:6] for part in (answer.split() or [""])[:1]]
    return list(dict.fromkeys([*JUNK, *common, *zeros, *joined, *parts]))


def best_constant(dataset: str, entries: int, seed: int = 1) -> Best:
    """Of all candidates the one that earns most, not counting the entries whose own answer it is, unless others have it
    as well. To be called in a process of its own, because it guards `eval` for good."""
    import reasoning_gym

    from reprise.rewards.verifiers.reasoning_gym import scoring

    with contextlib.redirect_stdout(io.StringIO()):
        made = list(reasoning_gym.create_dataset(dataset, size=entries, seed=seed))
        signal.signal(signal.SIGVTALRM, _too_long)
        refusals: list[str] = []
        scoring.install_guard(refusals)
        scorer = scoring.scorer(dataset, {})
        answers = [entry["answer"] for entry in made if isinstance(entry["answer"], str)]
        best = Best(dataset, entries)
        for candidate in candidates(answers, few=dataset in _SLOW):
            scores: list[float] = []
            for entry in made:
                if entry["answer"] == candidate and answers.count(candidate) == 1:
                    continue
                refusals.clear()
                score = _score(scoring.scored, dataset, scorer, candidate, entry)
                scores.append(0.0 if refusals else score)
            mean, right = sum(scores) / len(scores), sum(score >= 1 for score in scores)
            if mean > best.mean:
                best = best._replace(mean=mean, right=right, answer=candidate)
            best = best._replace(partial=max(best.partial, (sum(scores) - right) / len(scores)))
            if right == len(scores) and len(set(answers)) > 1:
                best = best._replace(fooled=candidate)
    return best


_SLOW = frozenset({"simple_integration", "intermediate_integration"})  # up to a second a score, and all or nothing


def _score(judged: Any, dataset: str, scorer: Any, candidate: str, entry: Any) -> float:
    signal.setitimer(signal.ITIMER_VIRTUAL, _SECONDS)
    try:
        return float(judged(dataset, scorer, candidate.strip(), entry))
    except Exception:  # noqa: BLE001 - where a scorer raises or takes too long, the verifier scores 0
        return 0.0
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _too_long(*_: Any) -> None:
    raise TimeoutError


def _in_a_process(arguments: tuple[str, int]) -> Best:
    try:
        return best_constant(*arguments)
    except Exception as error:  # noqa: BLE001 - stands in the table
        return Best(*arguments, error=f"{type(error).__name__}: {error}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=30)
    parser.add_argument("--sets", default="", help="names, separated by commas; all that the verifier takes")
    parser.add_argument("--json", action="store_true", help="for programs")
    arguments = parser.parse_args()
    names = arguments.sets.split(",") if arguments.sets else sorted(data_sets() - set(FOOLED))
    warnings.simplefilter("ignore")
    importlib.import_module("reasoning_gym")  # once, for all the processes
    with multiprocessing.get_context("fork").Pool(2, maxtasksperchild=1) as pool:
        found = []
        for best in pool.imap_unordered(_in_a_process, [(name, arguments.entries) for name in names]):
            found.append(best)
            print(f"{best.dataset} {best.mean:.3f}", file=sys.stderr, flush=True)
    if arguments.json:
        print(json.dumps([best._asdict() for best in sorted(found)]))
        return
    print("| data set | best constant's mean | right | answer | partial credit alone |\n|---|---|---|---|---|")
    for best in sorted(found, key=lambda best: -best.mean):
        shown = best.error or f"`{best.answer[:40]!r}`"
        print(f"| {best.dataset} | {best.mean:.3f} | {best.right} of {best.entries} | {shown} | {best.partial:.3f} |")


if __name__ == "__main__":
    main()
