"""Errors that a user can act on."""

from __future__ import annotations


class UserError(ValueError):
    """Something the user wrote or asked for cannot work.

    The message names the file, key or record and what would be right; the command line prints it without a traceback
    and exits with code 2.
    """


class RunError(RuntimeError):
    """What ends a run although its recipe was right; the message says what happened and, where it can, what to try."""


class Starvation(RunError):
    """Too many groups in a row taught nothing. The message gives the counts by reason and what to try."""
