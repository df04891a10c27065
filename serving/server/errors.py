"""Statuses that reach the caller, and the one line that a TensorFlow error becomes."""

from __future__ import annotations

import logging
import re

import grpc

logger = logging.getLogger(__name__)

_CODES = {code.value[0]: code for code in grpc.StatusCode}
_NODE = re.compile(r"\{\{(?:function_)?node [^{}]*\}\}")
_PREAMBLE = re.compile(r"^Graph execution error:\s*")
_STACK = re.compile(
    r"Detected at node .*? defined at \(most recent call last\):\n"
    r'(?:<stack traces unavailable>\n|  File ".*\n(?:    .*\n)*\s*\n)*'
)
_SEVERAL = re.compile(r"^\d+ root error\(s\) found\.\s*\(0\) [A-Z_ ]+:\s*")
_ASSERTION = re.compile(r"assertion failed: \[(.*)\]", re.DOTALL)
# What tf.debugging.assert_* add after the message that their caller gave.
_CONDITION = re.compile(r"\s*(?:\] \[)?Condition x .*", re.DOTALL)


class ConfigError(Exception):
    """A flag or a configuration file makes no sense; its text is one line for the user."""


class StatusError(Exception):
    """Ends a call with a gRPC status."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(f"{code.name}: {message}")


def invalid_argument(message: str) -> StatusError:
    """The caller's request makes no sense."""
    return StatusError(grpc.StatusCode.INVALID_ARGUMENT, message)


def not_found(message: str) -> StatusError:
    """There is no such model or version."""
    return StatusError(grpc.StatusCode.NOT_FOUND, message)


def failed_precondition(message: str) -> StatusError:
    """The model is not made for this call."""
    return StatusError(grpc.StatusCode.FAILED_PRECONDITION, message)


def internal(message: str) -> StatusError:
    """What TensorFlow Serving reports as INTERNAL."""
    return StatusError(grpc.StatusCode.INTERNAL, message)


def unimplemented(message: str) -> StatusError:
    """The server does not offer this."""
    return StatusError(grpc.StatusCode.UNIMPLEMENTED, message)


def unavailable(message: str) -> StatusError:
    """The server cannot take this now; the caller may try again."""
    return StatusError(grpc.StatusCode.UNAVAILABLE, message)


def signature_not_found(name: str) -> StatusError:
    """The model has no such signature; TensorFlow Serving's code and words."""
    message = f'Serving signature key "{name}" not found.'
    return StatusError(grpc.StatusCode.FAILED_PRECONDITION, message)


def unexpected(error: Exception) -> StatusError:
    """A lack of memory, or a defect of ours: logged here with its trace, kept from callers."""
    logger.error("a request failed", exc_info=error)
    if isinstance(error, MemoryError):
        return StatusError(grpc.StatusCode.RESOURCE_EXHAUSTED, "the server is out of memory")
    return StatusError(grpc.StatusCode.INTERNAL, "internal error; the server's log has the details")


def deadline_exceeded() -> StatusError:
    """The caller has stopped waiting, so nothing was started."""
    return StatusError(
        grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline passed before the request was started"
    )


def from_tensorflow(code: int | None, message: str) -> StatusError:
    """The status for an error that a graph raised.

    Args:
        code: TensorFlow's error code; its numbers are gRPC's.
        message: its text, with node names and stack remarks.
    """
    status = _CODES.get(code if code is not None else 2, grpc.StatusCode.UNKNOWN)
    return StatusError(status, one_line(message))


def one_line(message: str) -> str:
    """What the model's author wrote, without TensorFlow's decorations.

    "Graph execution error: ... assertion failed: [expected n > 0. Received:] [0] [[{{node ..."
    becomes "expected n > 0. Received: 0".
    """
    text = _SEVERAL.sub("", _STACK.sub("", _PREAMBLE.sub("", message)).lstrip())
    # The nodes that failed follow in lines of their own.
    text = re.split(r"\n\s*\[\[|\s*\[Op:", text, maxsplit=1)[0]
    text = _NODE.sub("", text)
    assertion = _ASSERTION.search(text)
    if assertion:
        words = assertion.group(1)
        words = _CONDITION.sub("", words) or words
        text = words.replace("] [", " ")
    return " ".join(text.split()) or "the model failed without a message"
