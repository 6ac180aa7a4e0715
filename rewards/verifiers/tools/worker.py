"""What a tool-call worker process does: do calls satisfy their schemas, and are they the expected ones?

In a process of its own because patterns of a schema run on model text, and a schema that refers to itself may take
exponential time on an argument built for it. Only `rewards.workers` runs this.
"""

from __future__ import annotations

from reprise.rewards.verifiers.tools.matching import Expected, mismatch
from reprise.rewards.verifiers.tools.parsing import Call
from reprise.rewards.verifiers.tools.schemas import Schema, problem
from reprise.rewards.workers.requests import unpack


def handle(packed: str) -> str:
    """Packed `{"functions", "expected", "given", "ordered", "strings"}` -> what is wrong; empty if nothing is."""
    request = unpack(packed)
    functions, given = request["functions"], [Call(**call) for call in request["given"]]
    for n, call in enumerate(given):
        wrong = _problem(functions[call.name], call)
        if wrong:
            return f"call {n}: does not satisfy the schema of {call.name!r}: {wrong}"
    expected = [Expected(**call) for call in request["expected"]]
    return mismatch(expected, given, functions, request["ordered"], request["strings"])


def _problem(schema: Schema, call: Call) -> str:
    try:
        return problem(schema, call.arguments)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - the expected calls were checked by this schema, so it is these arguments
        return f"checking it raised {type(error).__name__}"
