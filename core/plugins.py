"""Plug-ins by dotted path or file, resolved in this one place."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import traceback
from itertools import dropwhile
from pathlib import Path
from types import ModuleType
from typing import Any

from reprise.core.errors import UserError
from reprise.core.files import absence
from reprise.core.hints import did_you_mean

_ROOT = Path(__file__).resolve().parents[1]
# Modules that changed more than the `reprise.` before them.
_MOVED = {
    "data.json_lines": "core.json_lines",
    **{f"buffer.{name}": f"core.{name}" for name in ("errors", "files", "plugins", "printable", "types")},
    **{
        f"rewards.{name}": f"rewards.verifiers.{name}"
        for name in ("code", "exact", "format", "instruction", "llm_judge", "maths", "reasoning_gym", "rules", "tools")
    },
}


def resolve(dotted: str, what: str) -> Any:
    """The object that a dotted path `package.module:attribute` names, or `./file.py:attribute`.

    `what` says in words what the path was given for ("the verifier 'maths'"); it begins the message of the `UserError`
    raised when the path is malformed, its module is missing or the module lacks the attribute, or if it leads into
    Python's own library, which holds no plug-in but much that a mistake should not call (`os:system`). What the
    module's own code raises while it is imported becomes a `UserError` too, with the plug-in's part of the traceback.

    Whoever writes a recipe can have any code run: this is no protection from them.
    """
    module_name, colon, attribute = dotted.partition(":")
    is_file = module_name.endswith(".py")
    names = [*([] if is_file else module_name.split(".")), *attribute.split(".")]
    if not colon or not all(name.isidentifier() for name in names):
        raise UserError(
            f"{what}: {dotted!r} is not a dotted path; write package.module:attribute, or ./file.py:attribute"
        )
    try:
        found: object = _from_file(Path(module_name), dotted, what) if is_file else _imported(module_name, dotted, what)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(f"{what}: {dotted!r} cannot be imported:\n{own_traceback(error, __file__)}") from error
    for name in attribute.split("."):
        try:
            found = getattr(found, name)
        except AttributeError as error:
            hint = did_you_mean(name, dir(found), "; {}")
            raise UserError(f"{what}: {dotted!r} does not exist: {module_name!r} has no {name!r}{hint}") from error
    return found


def own_traceback(error: BaseException, caller: str) -> str:
    """The traceback of what a plug-in raised, without the frames of the file that called it and of Python's import."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = {caller, importlib.__file__}
    own = dropwhile(lambda frame: frame.filename in ours or frame.filename.startswith("<frozen"), frames)
    return "".join([*traceback.format_list(list(own)), *traceback.format_exception_only(error)]).rstrip()


def _imported(module: str, dotted: str, what: str) -> ModuleType:
    if module.split(".")[0] in sys.stdlib_module_names:
        raise UserError(f"{what}: {dotted!r} is a part of Python's own library and cannot be what is asked for here")
    if (moved := _moved(module)) is not None:
        raise UserError(f"{what}: {dotted!r} is now {moved}:{dotted.partition(':')[2]}")
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # A module that exists but imports something that is missing is another matter: say which one is missing.
        wanted = error.name is not None and f"{module}.".startswith(f"{error.name}.")
        missing = "there is no module" if wanted else f"{module!r} imports a module that is missing:"
        raise UserError(
            f"{what}: cannot import {dotted!r}: {missing} {error.name!r}; install it or correct the path"
        ) from error


def _from_file(file: Path, dotted: str, what: str) -> ModuleType:
    """The module in a file, relative to the working directory. It is imported once, and finds what lies beside it."""
    file = file.absolute()
    if not file.is_file():
        why = "is a folder" if file.is_dir() else absence(file)
        raise UserError(
            f"{what}: cannot import {dotted!r}: {file}: {why}; correct the path, or start where it leads "
            "to the file (--resume: in the folder that the run was started in)"
        )
    name = f"{file.stem}_{hashlib.blake2b(bytes(file), digest_size=4).hexdigest()}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None
        assert spec.loader is not None
        if (beside := str(file.parent)) not in sys.path:
            sys.path.append(beside)
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


def _moved(module: str) -> str | None:
    """What a module of ours is called now that was named without `reprise`; None for all others.

    Started in a checkout, Python would find it by its old name, as a second copy of what runs already.
    """
    top, *rest = module.split(".")
    if not (_ROOT / top / "__init__.py").is_file():
        return None
    found = importlib.util.find_spec(top)
    if found is not None and _ROOT / top not in map(Path.resolve, map(Path, found.submodule_search_locations or ())):
        return None  # a package of the user's own
    old = ".".join([top, *rest[:1]])
    return f"reprise.{'.'.join([_MOVED.get(old, old), *rest[1:]])}"
