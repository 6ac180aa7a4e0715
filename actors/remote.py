"""Calls of Ray actors with types: what a method takes and returns is what its class says, and an editor finds it there.

`await actor.call(BufferActor.add, ...)` is `await handle.add.remote(...)`, checked.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, cast

import ray

A = TypeVar("A")
P = ParamSpec("P")
R = TypeVar("R")
X = TypeVar("X")
Y = TypeVar("Y")
T_co = TypeVar("T_co", covariant=True)
Method = Callable[Concatenate[A, P], Coroutine[object, object, R]]
F = TypeVar("F", bound=Callable[..., object])


class Ref(Protocol[T_co]):
    """A reference to an object in Ray's store: awaiting it fetches the object."""

    def __await__(self) -> Generator[object, None, T_co]: ...


def in_two(method: F) -> F:
    """Marks an actor's method that returns a pair whose parts are objects of their own: see `Actor.call_in_two`."""
    return cast(F, ray.method(num_returns=2)(method))


def passed(ref: Ref[R]) -> R:
    """A reference as an argument of a call: the method gets the object itself, which does not come here."""
    return cast(R, ref)


class Actor(Generic[A]):
    """The handle of an actor of class A."""

    def __init__(self, handle: Any) -> None:
        self.handle = handle

    def call(self, method: Method[A, P, R], *args: P.args, **kwargs: P.kwargs) -> Ref[R]:
        """Call a method of A; it runs whether or not the reference is awaited."""
        return cast(Ref[R], getattr(self.handle, method.__name__).remote(*args, **kwargs))

    def call_in_two(
        self, method: Method[A, P, tuple[X, Y]], *args: P.args, **kwargs: P.kwargs
    ) -> tuple[Ref[X], Ref[Y]]:
        """Call a method that is marked `in_two`: either part can be awaited, or passed on, without the other."""
        first, second = getattr(self.handle, method.__name__).remote(*args, **kwargs)
        return first, second

    def kill(self) -> None:
        """End its process at once."""
        ray.kill(self.handle)
