"""Kubeflow's published OpenAPI, as the package that is generated from it has it.

`kfp-server-api` is generated from `backend/api/v2beta1/swagger/kfp_api_single_file.swagger.json`:
its models say which fields there are and of which types, its methods which paths, verbs and
parameters. What the client sends and what the fake answers is held to them, key by key.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import kfp_server_api
from kfp_server_api import api as published

SCALARS: Mapping[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "bool": (bool,),
    "float": (int, float),
}


@dataclasses.dataclass(frozen=True)
class Operation:
    """One path and verb."""

    path: str
    verb: str
    query: frozenset[str]
    files: frozenset[str]
    body: str
    answer: str

    def matches(self, verb: str, path: str) -> bool:
        pattern = re.sub(r"\{[^}]+\}", "[^/:]+", self.path)
        return verb == self.verb and re.fullmatch(pattern, path) is not None


def operations() -> list[Operation]:
    """Every operation, the most literal paths first."""
    found = list(_operations())
    return sorted(found, key=lambda one: one.path.count("{"))


def _operations() -> Iterator[Operation]:
    for name, service in vars(published).items():
        if not name.endswith("ServiceApi"):
            continue
        for method, function in vars(service).items():
            if not method.endswith("_with_http_info"):
                continue
            source = inspect.getsource(function)
            call = re.search(r"call_api\(\s*'([^']+)', '([A-Z]+)'", source)
            answer = re.search(r"response_type='([^']+)'", source)
            body = re.search(r"body_params = local_var_params\['(\w+)'\]", source)
            kind = re.search(rf":type {body[1]}: (\w+)", source) if body else None
            assert call
            assert answer
            yield Operation(
                call[1],
                call[2],
                frozenset(re.findall(r"query_params.append\(\('([^']+)'", source)),
                frozenset(re.findall(r"local_var_files\['(\w+)'\] =", source)),
                kind[1] if kind else "",
                answer[1],
            )


def check(value: Any, kind: str, where: str = "") -> None:
    """Refuses what the published API does not have.

    Raises:
        AssertionError: a key is unknown, or a value is of another type.
    """
    if kind == "object":
        return
    if listed := re.fullmatch(r"list\[(.+)\]", kind):
        assert isinstance(value, list), f"{where}: {value!r} is no list"
        for index, item in enumerate(value):
            check(item, listed[1], f"{where}[{index}]")
    elif mapped := re.fullmatch(r"dict\(str, (.+)\)", kind):
        assert isinstance(value, dict), f"{where}: {value!r} is no object"
        for key, item in value.items():
            check(item, mapped[1], f"{where}.{key}")
    elif kind == "datetime":
        assert isinstance(value, str), f"{where}: {value!r} is no time"
        datetime.fromisoformat(value)
    elif kind in SCALARS:
        fits = isinstance(value, SCALARS[kind]) and (kind == "bool" or not isinstance(value, bool))
        assert fits, f"{where}: {value!r} is no {kind}"
    else:
        _check_model(value, getattr(kfp_server_api, kind), where or kind)


def _check_model(value: Any, model: Any, where: str) -> None:
    if hasattr(model, "allowable_values"):
        assert value in model.allowable_values, f"{where}: {value!r}"
        return
    assert isinstance(value, dict), f"{where}: {value!r} is no object"
    types = {model.attribute_map[name]: kind for name, kind in model.openapi_types.items()}
    unknown = set(value) - set(types)
    assert not unknown, f"{where}: unknown {unknown}; there are {set(types)}"
    for key, item in value.items():
        check(item, types[key], f"{where}.{key}")


def check_filter(text: str) -> None:
    """Refuses a filter that the published API does not have.

    The official client writes one as protobuf's JSON may be written, too: an enumeration by its
    number, a field in camel case.
    """
    content = json.loads(text.replace('"stringValue"', '"string_value"'))
    names = kfp_server_api.V2beta1PredicateOperation.allowable_values
    for predicate in content.get("predicates", []):
        if isinstance(predicate.get("operation"), int):
            predicate["operation"] = names[predicate["operation"]]
    check(content, "V2beta1Filter")
