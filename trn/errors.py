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


def quoted(value: object) -> str:
    """A value of an outside file as an error quotes it: short, and on one line.

    Containers are named by type: aliases let a small YAML file hold one of astronomical size.
    """
    if value is None or isinstance(value, (bool, float)):
        return repr(value)
    if isinstance(value, int):
        return repr(value) if abs(value) < 10**15 else "a huge number"
    if isinstance(value, str):
        return repr(value[:40])
    return f"a {type(value).__name__}"
