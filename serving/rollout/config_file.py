"""Edits one model of a server's config file as text, so that nothing else in it is lost.

The file may hold what this program knows nothing of, such as `logging_config`, and comments. So
it is not parsed and written anew: the fields that a rollout decides are cut out of the model's
entry, and new ones put in.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from google.protobuf import text_format

from serving.client.admin import ModelConfig
from serving.client.messages import ModelConfig as Message
from serving.client.messages import ModelServerConfig
from serving.rollout.errors import RolloutError

LOCK_SECONDS = 30.0
_LOCK_POLL_SECONDS = 0.1
# What a rollout decides about a model; its other fields stay.
_OURS = ("base_path", "model_version_policy", "version_labels")
_TOKEN = re.compile(
    r"""\#[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|[{}<>\[\]:;,]|[^\s{}<>\[\]:;,\#"']+"""
)
_CLOSING = {"{": "}", "<": ">", "[": "]"}


def write(path: Path, config: ModelConfig, seconds: float = LOCK_SECONDS) -> None:
    """Replaces a model's place in the file; whoever reads it meanwhile sees the old or the new one.

    Args:
        path: of the file; it is made where there is none.
        config: what the model shall be.
        seconds: to wait for a rollout of another model that writes the same file.

    Raises:
        RolloutError: the file cannot be read or written, holds something else, or stays locked.
    """
    try:
        with _locked(path, seconds):
            before = path.read_text("utf-8") if path.exists() else ""
            after = edited(before, config)
            if after != before:
                _replace(path, after)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise RolloutError(f"expected a model config file at {path}. Received: {reason}") from None


@contextlib.contextmanager
def _locked(path: Path, seconds: float) -> Iterator[None]:
    """Holds the file against other rollouts; the lock ends with its process, whatever ends that."""
    lock = path.with_name(f".{path.name}.lock")
    deadline = time.monotonic() + seconds
    with lock.open("a") as stream:
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise RolloutError(
                        f"expected nobody else to write {path} for {seconds:g} s. Received: "
                        f"another rollout that holds {lock}; try again when it is done"
                    ) from None
                time.sleep(_LOCK_POLL_SECONDS)
        yield


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    if path.exists():
        # The servers may run as another user.
        partial.chmod(path.stat().st_mode & 0o7777)
    partial.replace(path)


def edited(text: str, config: ModelConfig) -> str:
    """The file's text with a model as it shall be, all else as it was.

    Raises:
        ValueError: it is no ModelServerConfig with a list of models.
    """
    _parsed(text)
    lists = [field for field in _fields(text, 0, len(text)) if field.name == "model_config_list"]
    if not lists:
        after = f"{text}{_newline(text)}model_config_list {{\n{_entry(config)}}}\n"
    else:
        after = _in_list(text, lists[0], config)
    _check(after, text, config)
    return after


def _parsed(text: str) -> dict[str, bytes]:
    """The models that a text configures: serialized, by name.

    Raises:
        ValueError: it is no such text.
    """
    message = ModelServerConfig()
    try:
        text_format.Parse(text, message, allow_unknown_field=True)
    except text_format.ParseError as error:
        raise ValueError(str(error)) from None
    models = message.model_config_list.config
    if len({one.name for one in models}) != len(models):
        raise ValueError("two models of one name")
    return {one.name: one.SerializeToString(deterministic=True) for one in models}


def _check(after: str, before: str, config: ModelConfig) -> None:
    """Reads the new text as a server will: one model is as it shall be, the others as they were.

    Raises:
        ValueError: it is not, because the text is written in a way that is not understood here.
    """
    found, expected = _parsed(after), _parsed(before)
    new = Message.FromString(found.get(config.name, b""))
    expected[config.name] = found.get(config.name, b"")
    wanted = config.message()
    if found != expected or any(getattr(new, name) != getattr(wanted, name) for name in _OURS):
        raise ValueError('a form of it that cannot be edited; write config { name: "..." ... }')


class _Field:
    """A field of a message in text form: its name, and where it and its content lie."""

    def __init__(self, name: str, start: int) -> None:
        self.name, self.start = name, start
        self.end = self.inside = self.inside_end = start
        self.value = ""


def _fields(text: str, start: int, end: int) -> list[_Field]:
    """The fields of the message whose content lies between two places.

    Raises:
        ValueError: brackets that do not match.
    """
    found: list[_Field] = []
    tokens = [one for one in _TOKEN.finditer(text, start, end) if not one[0].startswith("#")]
    place = 0
    while place < len(tokens):
        token = tokens[place]
        place += 1
        if token[0] in ";,":
            if found:
                found[-1].end = token.end()
            continue
        field = _Field(token[0], token.start())
        if place < len(tokens) and tokens[place][0] == ":":
            place += 1
        if place >= len(tokens):
            raise ValueError(f"{field.name} without a value")
        place = _value(tokens, place, field)
        found.append(field)
    return found


def _value(tokens: list[re.Match[str]], place: int, field: _Field) -> int:
    """Notes where a field's value lies; the place of the token behind it."""
    first = tokens[place]
    if first[0] not in _CLOSING:
        field.value, field.end = first[0], first.end()
        # Strings that follow each other are one.
        while first[0][0] in "\"'" and tokens[place + 1 :] and tokens[place + 1][0][0] in "\"'":
            place += 1
            field.value, field.end = "", tokens[place].end()
        return place + 1
    field.inside, open_brackets = first.end(), [first[0]]
    while open_brackets:
        place += 1
        if place >= len(tokens):
            raise ValueError(f"{field.name} is not closed")
        bracket = tokens[place][0]
        if bracket in _CLOSING:
            open_brackets.append(bracket)
        elif bracket in _CLOSING.values() and bracket == _CLOSING[open_brackets.pop()]:
            continue
        elif bracket in _CLOSING.values():
            raise ValueError(f"{field.name} is closed by another bracket")
    field.inside_end, field.end = tokens[place].start(), tokens[place].end()
    return place + 1


def _in_list(text: str, models: _Field, config: ModelConfig) -> str:
    for entry in _fields(text, models.inside, models.inside_end):
        fields = _fields(text, entry.inside, entry.inside_end)
        names = [field.value[1:-1] for field in fields if field.name == "name"]
        if entry.name == "config" and names == [config.name]:
            return _in_entry(text, entry, fields, config)
    before = text[: models.inside_end].rstrip(" \t")
    return f"{before}{_newline(before)}{_entry(config)}{text[models.inside_end :]}"


def _in_entry(text: str, entry: _Field, fields: list[_Field], config: ModelConfig) -> str:
    """Cuts the fields that are decided here out of an entry, and puts the new ones at its end."""
    kept, place = [], entry.inside
    for field in fields:
        if field.name in _OURS:
            kept.append(text[place : field.start].rstrip(" \t"))
            place = field.end
    kept.append(text[place : entry.inside_end])
    old = re.sub(r"\n(?:[ \t]*\n)+", "\n", "".join(kept)).rstrip()
    new = _indented(config, lambda name: name in _OURS)
    return f"{text[: entry.inside]}{old}{_newline(old)}{new}  {text[entry.inside_end :]}"


def _newline(before: str) -> str:
    """A comment at the end of what is before must not swallow what follows."""
    return "" if not before or before.endswith("\n") else "\n"


def _entry(config: ModelConfig) -> str:
    return f"  config {{\n{_indented(config, lambda _: True)}  }}\n"


def _indented(config: ModelConfig, wanted: Callable[[str], bool]) -> str:
    message = config.message()
    for field in message.DESCRIPTOR.fields:
        if not wanted(field.name):
            message.ClearField(field.name)
    lines = text_format.MessageToString(message).splitlines()
    return "".join(f"    {line}\n" for line in lines)
