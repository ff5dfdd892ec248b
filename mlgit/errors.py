"""The error tree: what went wrong, where, how to mend it, and the exit code that says so to a script.

Every failure that a user can meet is a subclass of `MlgitError`; anything else that escapes is a bug in mlgit.
This module imports nothing of mlgit and prints nothing.
"""

from __future__ import annotations


class MlgitError(Exception):
    """A failure with a message for people and an exit code for scripts.

    Args:
        message: what happened, naming the exact path, key or object id.
        hint: the command or the edit that mends it; printed as the last line.
    """

    code = 70

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(MlgitError):
    """The command line asks for something that does not exist or makes no sense."""

    code = 2


class InvalidError(MlgitError):
    """A file, a configuration value or a name is malformed."""

    code = 10


class LockedError(MlgitError):
    """Another process holds a lock that this command needs."""

    code = 11


class MissingError(MlgitError):
    """An object, or a file that must exist, is nowhere to be found."""

    code = 12


class IntegrityError(MlgitError):
    """Bytes do not match the id they are stored under."""

    code = 13


class UnsafeError(MlgitError):
    """Content was refused because using it could write or run something it must not."""

    code = 14


class RemoteError(MlgitError):
    """A remote did not do what was asked, after all retries."""

    code = 15


class AuthError(MlgitError):
    """A remote refused the credentials."""

    code = 16


class StageError(MlgitError):
    """A stage's command failed, was killed, or did not write what it declares."""

    code = 17


class DiskError(MlgitError):
    """The local disk is full, read-only or broken."""

    code = 18


class NotEvaluableError(MlgitError):
    """A question has no answer: no baseline, nothing to compare, not comparable."""

    code = 19


class RefusedError(MlgitError):
    """Doing it would destroy content that is in no store; the answer is no unless the user insists."""

    code = 1
