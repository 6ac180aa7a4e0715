"""Plug-ins by dotted path, resolved in this one place."""

from __future__ import annotations

import difflib
import importlib
import sys
from typing import Any

from reprise.core.errors import UserError


def resolve(dotted: str, what: str) -> Any:
    """The object that a dotted path `package.module:attribute` names.

    `what` says in words what the path was given for ("the verifier 'maths'"); it begins the message of the `UserError`
    raised when the path is malformed, its module is missing or the module lacks the attribute, or if it leads into
    Python's own library, which holds no plug-in but much that a mistake should not call (`os:system`). An error raised
    by the module's own code while it is imported passes through with its traceback.

    Whoever writes a recipe can have any code run: this is no protection from them.
    """
    module_name, colon, attribute = dotted.partition(":")
    names = [*module_name.split("."), *attribute.split(".")]
    if not colon or not all(name.isidentifier() for name in names):
        raise UserError(f"{what}: {dotted!r} is not a dotted path; write package.module:attribute")
    if names[0] in sys.stdlib_module_names:
        raise UserError(f"{what}: {dotted!r} is a part of Python's own library and cannot be what is asked for here")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # A module that exists but imports something that is missing is another matter: say which one is missing.
        wanted = error.name is not None and f"{module_name}.".startswith(f"{error.name}.")
        missing = "there is no module" if wanted else f"{module_name!r} imports a module that is missing:"
        raise UserError(
            f"{what}: cannot import {dotted!r}: {missing} {error.name!r}; install it or correct the path"
        ) from error
    for name in attribute.split("."):
        try:
            found = getattr(found, name)
        except AttributeError as error:
            near = difflib.get_close_matches(name, dir(found), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UserError(f"{what}: {dotted!r} does not exist: {module_name!r} has no {name!r}{hint}") from error
    return found
