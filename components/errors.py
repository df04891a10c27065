"""The exceptions that a user can cause, and how a step reports them.

    LoomlineError
    ├── ConfigError          a configuration file or an override is wrong
    ├── DataError            the input cannot be used
    │   └── ValidationError  the data broke an expectation of the suite
    ├── RunnerError          a Beam runner cannot be reached, or failed
    ├── TrainingError        training cannot go on
    ├── WorkerLostError      a worker of many is gone; started again, they all resume
    │   └── ClusterAwayError  the cluster's API does not answer; the step may be tried again
    ├── WorkerFailedError    a worker of many ended by a defect, and not by a user's mistake
    ├── ClusterError         the cluster refused a job, or cannot run it
    ├── ModelError           a model is missing, unreadable or unfit for its signatures
    │   └── AlteredModelError  its files are not the ones that were judged
    ├── RejectedModelError   the decision says no, or belongs to another model
    ├── ApprovalError        no person approved, or the record of it does not hold
    ├── PublishError         the destination cannot be written
    ├── SetupError           an environment for an older TensorFlow cannot be made
    ├── ServingError         the server refused, or cannot be reached
    └── BusyError            another run holds the output folder

Every message is one line: what was expected, what was received, what to do.
"""

from __future__ import annotations

import contextlib
import errno
import sys
from collections.abc import Iterator
from typing import NoReturn

from components.attempts import earlier_mistake, remember_mistake

USER_ERROR_EXIT_CODE = 2
# Python's own for an exception that nobody caught.
DEFECT_EXIT_CODE = 1
# EX_TEMPFAIL of sysexits.h: not a mistake; to be tried again.
TRY_AGAIN_EXIT_CODE = 75
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
ERROR_PREFIX = "error: "


class LoomlineError(Exception):
    """Something that the user can mend; its message is one clear line."""

    exit_code = USER_ERROR_EXIT_CODE


class ConfigError(LoomlineError):
    """A configuration file or an override is wrong."""


class DataError(LoomlineError):
    """The input data cannot be used."""


class ValidationError(DataError):
    """The data broke an expectation of the suite."""


class RunnerError(LoomlineError):
    """A Beam runner cannot be reached, or failed."""


class TrainingError(LoomlineError):
    """Training cannot go on."""


class WorkerLostError(LoomlineError):
    """A worker of many is gone, and the others cannot go on without it."""

    exit_code = TRY_AGAIN_EXIT_CODE


class ClusterAwayError(WorkerLostError):
    """The cluster's API does not answer, and nobody knows how the workers fare."""


class WorkerFailedError(LoomlineError):
    """A worker of many ended by a defect, whose traceback is in its log."""

    exit_code = DEFECT_EXIT_CODE


class ClusterError(LoomlineError):
    """The cluster refused a job, or cannot run it."""


class ModelError(LoomlineError):
    """A model is missing, unreadable or unfit for its signatures."""


class AlteredModelError(ModelError):
    """A model's files are not the ones that were judged."""


class RejectedModelError(LoomlineError):
    """The decision says no, or belongs to another model."""


class ApprovalError(LoomlineError):
    """No person approved, or the record of it does not hold."""


class PublishError(LoomlineError):
    """The destination of a push cannot be written."""


class SetupError(LoomlineError):
    """An environment for an older TensorFlow cannot be made."""


class ServingError(LoomlineError):
    """The model server refused a request, or cannot be reached."""


class BusyError(LoomlineError):
    """Another run holds the output folder."""


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """Ends the process with one line and the error's exit code where the user can mend the cause.

    That is a LoomlineError, or a disk that is full or refuses to be written. Anything else keeps
    its traceback: it is a defect of ours. Where a cluster runs the step again all the same, it ends
    by the same line at once.
    """
    if message := earlier_mistake():
        _end(message)
    code = USER_ERROR_EXIT_CODE
    try:
        yield
    except LoomlineError as error:
        code = error.exit_code
        message = " ".join(str(error).split())
        if code == USER_ERROR_EXIT_CODE:
            remember_mistake(message)
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        where = f" at {error.filename}" if error.filename else ""
        message = f"expected a disk that can be written{where}. Received: {error.strerror}"
    else:
        return
    _end(message, code)


def _end(message: str, code: int = USER_ERROR_EXIT_CODE) -> NoReturn:
    print(f"{ERROR_PREFIX}{message}", file=sys.stderr, flush=True)
    raise SystemExit(code)
