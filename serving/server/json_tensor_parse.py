"""The JSON text of a REST request to Python values, with TensorFlow Serving's refusals."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from serving.server.errors import StatusError, invalid_argument

# The words of RapidJSON, TensorFlow Serving's parser, for what Python's parser says.
_WORDS = {
    "Expecting value": "Invalid value.",
    "Expecting property name enclosed in double quotes": "Missing a name for object member.",
    "Illegal trailing comma before end of object": "Missing a name for object member.",
    "Illegal trailing comma before end of array": "Invalid value.",
    "Expecting ':' delimiter": "Missing a colon after a name of object member.",
    "Unterminated string starting at": "Missing a closing quotation mark in string.",
    "Invalid control character at": "Invalid encoding in string.",
    "Invalid \\escape": "Invalid escape character in string.",
    "Invalid \\uXXXX escape": "Incorrect hex digit after \\u escape in string.",
    "Extra data": "The document root must not be followed by other values.",
}
_AFTER_ELEMENT = "Missing a comma or ] after an array element."
_AFTER_MEMBER = "Missing a comma or } after an object member."
_TOO_BIG = "Number too big to be stored in double."
_STRING = r'"(?:[^"\\]|\\.)*+"'
_BRACKETS = re.compile(rf"{_STRING}|[\[\]{{}}]", re.DOTALL)
# RapidJSON also takes these, which Python does not.
_LITERALS = re.compile(rf"{_STRING}|-?\bInf\b|-NaN\b", re.DOTALL)
_SPELLED = {"Inf": "Infinity", "-Inf": "-Infinity", "-NaN": "NaN"}
_NUMBERS = re.compile(rf"{_STRING}|-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?", re.DOTALL)
_BOM = b"\xef\xbb\xbf"


class Document(dict[str, Any]):
    """The object that a request's body holds."""

    def __init__(self, values: dict[str, Any], text: str, encoding_errors: str) -> None:
        self._text = text
        self._errors = encoding_errors
        super().__init__(values)

    def check_infinity(self) -> None:
        """Refuses an infinite number unless the body spells one.

        Raises:
            StatusError: it is a number like 1e999.
        """
        if "Inf" not in self._text:
            raise _too_big(self._text)

    def encoded(self, text: str) -> bytes:
        """The bytes of one of its strings, as they stood in the body.

        Raises:
            StatusError: it holds half of a surrogate pair.
        """
        try:
            return text.encode("utf-8", self._errors)
        except UnicodeEncodeError:
            raise _refusal("The surrogate pair in string is invalid.") from None


def parse(body: bytes) -> Document:
    """Reads the JSON object of a request.

    As TensorFlow Serving does: NaN and Infinity are numbers, what follows a byte order mark is
    read, and bytes inside strings that are not UTF-8 are kept as they are.

    Raises:
        StatusError: the body is no JSON object; INVALID_ARGUMENT with TensorFlow Serving's words.
    """
    if not body:
        raise _refusal("The document is empty")
    data = body.removeprefix(_BOM)
    try:
        text, errors = data.decode("utf-8"), "strict"
    except UnicodeDecodeError:
        text, errors = data.decode("utf-8", "surrogateescape"), "surrogateescape"
    value = _loads(text)
    if not isinstance(value, dict):
        raise invalid_argument(f"JSON Value: {shown(value)} Is not object")
    return Document(value, text, errors)


def _loads(text: str) -> Any:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        spelled = _LITERALS.sub(lambda match: _SPELLED.get(match[0], match[0]), text)
        if spelled != text:
            return _loads(spelled)
        raise _parse_error(text, error) from None
    except RecursionError:
        raise _refusal("The document is nested too deeply.") from None
    except ValueError:
        # A number of thousands of digits.
        raise _too_big(text) from None
    return value


def shown(value: Any, limit: int = 1024) -> str:
    """A JSON value for an error message, cut when it is long.

    TensorFlow Serving sends the whole of a wrong request back; an error message need not be of the
    size of the request.
    """
    try:
        pieces, size = [], 0
        encoder = json.JSONEncoder(ensure_ascii=False, indent=4)
        for piece in encoder.iterencode(value):
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                break
    except RecursionError:
        return "..."
    text = "".join(pieces)
    text = text if len(text) <= limit else text[:limit] + "..."
    return text.encode("utf-8", "replace").decode("utf-8")


def _parse_error(text: str, error: json.JSONDecodeError) -> StatusError:
    position = error.pos
    if error.msg == "Expecting ',' delimiter":
        words = _AFTER_MEMBER if _innermost(text, position) == "{" else _AFTER_ELEMENT
    elif not text.strip(" \t\r\n"):
        words, position = "The document is empty.", len(text)
    else:
        words = _WORDS.get(error.msg, "Invalid value.")
    offset = len(text[:position].encode("utf-8", "surrogateescape"))
    return _refusal(f"{words} at offset: {offset}")


def _innermost(text: str, end: int) -> str:
    """The bracket that is open at a position."""
    stack = [""]
    for match in _BRACKETS.finditer(text, 0, end):
        if match[0] in "[{":
            stack.append(match[0])
        elif match[0] in "]}" and len(stack) > 1:
            stack.pop()
    return stack[-1]


def _too_big(text: str) -> StatusError:
    for match in _NUMBERS.finditer(text):
        if not match[0].startswith('"') and math.isinf(float(match[0])):
            return _refusal(f"{_TOO_BIG} at offset: {match.start()}")
    return _refusal(_TOO_BIG)


def _refusal(words: str) -> StatusError:
    return invalid_argument(f"JSON Parse error: {words}")
