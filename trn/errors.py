"""The errors that trn raises on purpose.

The command line turns them into one line on standard error and an exit status:
`InputError` is 2 (bad input), `WorkError` is 1 (a failure at work).
"""


class TrnError(Exception):
    """Base of every error that trn raises on purpose."""

    exit_status = 1


class InputError(TrnError):
    """Something given from outside cannot be used; the text names file, field and remedy."""

    exit_status = 2


class WorkError(TrnError):
    """Work that was well asked for could not be done (disk full, no usable GPU, ...)."""


class MissingExtraError(WorkError):
    """An optional package is needed; the text names the extra that installs it."""
