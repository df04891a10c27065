"""Makes the strict JSON schemas that manifests are validated against, out of published packages.

    python tests/serving/manifests/make_schemas.py .tools/schemas

Kubernetes' own come from its Go module, which holds the OpenAPI of the API server; those of the
Prometheus operator, of Kubeflow Trainer and of its predecessor from the CRDs in their modules;
KServe's from the types of its Python SDK. Strict means that a field which is not in the schema is a
mistake. What is there already is not made anew.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

# The newest patch of the three newest minor versions that the module proxy had in November 2026.
KUBERNETES = ("v1.37.2", "v1.36.3", "v1.35.4")
OPERATOR = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
# TrainJob and TrainingRuntime, with the JobSet in it; and TFJob.
TRAINER = "github.com/kubeflow/trainer/v2@v2.0.0"
TRAINING_OPERATOR = "github.com/kubeflow/training-operator@v1.9.3"
KSERVE = (
    "kserve==0.21.0 "
    "--hash=sha256:df9bc5888704d9085015e08f1a8fced5ff0698f3becc6212d4e7b8234c71623b\n"
)

Schema = dict[str, Any]


def main() -> None:
    """Makes what is missing below the folder that the command line names."""
    root = Path(sys.argv[1])
    for version in KUBERNETES:
        if not _done(root / version):
            _write(root / version, kubernetes(_module(f"k8s.io/kubernetes@{version}")))
    sources = "\n".join((KUBERNETES[0], OPERATOR, TRAINER, TRAINING_OPERATOR, KSERVE))
    if not _done(root / "crds", sources):
        definitions = strict_definitions(_module(f"k8s.io/kubernetes@{KUBERNETES[0]}"))
        files = [
            *sorted((_module(OPERATOR) / "jsonnet/prometheus-operator").glob("*-crd.json")),
            *sorted((_module(TRAINER) / "manifests/base/crds").glob("trainer.kubeflow.org_*")),
            _module(TRAINING_OPERATOR) / "manifests/base/crds/kubeflow.org_tfjobs.yaml",
        ]
        found = {**custom(files, definitions), **kserve(definitions)}
        _write(root / "crds", found, sources)


def _done(folder: Path, sources: str = "") -> bool:
    note = folder / ".done"
    return note.is_file() and note.read_text("utf-8") == sources


def _write(folder: Path, schemas: dict[str, Schema], sources: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, schema in schemas.items():
        (folder / f"{name}.json").write_text(json.dumps(schema), "utf-8")
    (folder / ".done").write_text(sources, "utf-8")
    print(f"{len(schemas)} schemas in {folder}")


def _module(name: str) -> Path:
    """Where a Go module's files lie, downloaded if need be and held against its checksum."""
    with tempfile.TemporaryDirectory() as outside:
        command = ["go", "mod", "download", "-json", name]
        done = subprocess.run(command, capture_output=True, text=True, cwd=outside, check=False)
    found = json.loads(done.stdout or "{}")
    if "Dir" not in found:
        sys.exit(
            f"error: expected the Go module {name}. Received: {found.get('Error', done.stderr)}"
        )
    return Path(found["Dir"])


def strict_definitions(module: Path) -> dict[str, Schema]:
    """Every type of an API server by its full name."""
    found: dict[str, Schema] = {}
    for file in sorted((module / "api/openapi-spec/v3").glob("*_openapi.json")):
        found.update(json.loads(file.read_text("utf-8")).get("components", {}).get("schemas", {}))
    text = json.dumps({name: strict(schema) for name, schema in found.items()})
    definitions: dict[str, Schema] = json.loads(
        text.replace("#/components/schemas/", "#/definitions/")
    )
    return definitions


def kubernetes(module: Path) -> dict[str, Schema]:
    """A schema for each kind, by the name that kubeconform looks for."""
    definitions = strict_definitions(module)
    schemas = {}
    for name, definition in definitions.items():
        for kind in definition.get("x-kubernetes-group-version-kind", ()):
            # Options of calls and the like belong to every group.
            if {"apiVersion", "kind", "metadata"} <= definition.get("properties", {}).keys():
                file = file_name(kind["kind"], kind["group"], kind["version"])
                schemas[file] = closed({"$ref": f"#/definitions/{name}"}, definitions)
    return schemas


def file_name(kind: str, group: str, version: str) -> str:
    """As in kubeconform's `{{.ResourceKind}}{{.KindSuffix}}`: `deployment-apps-v1`."""
    parts = [kind, group.split(".")[0], version] if group else [kind, version]
    return "-".join(parts).lower()


def strict(schema: Any) -> Any:
    """The same schema, whose objects take no other fields than those it names."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    result = {name: strict(value) for name, value in schema.items()}
    named = isinstance(result.get("properties"), dict) and "type" in result
    if result.get("x-kubernetes-preserve-unknown-fields") is True:
        named = False
    if named and "additionalProperties" not in result:
        result["additionalProperties"] = False
    if result.get("x-kubernetes-int-or-string") is True and "anyOf" not in result:
        result = {"anyOf": [{"type": "integer"}, {"type": "string"}]}
    return result


def closed(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """A schema with every definition that it needs, so that its file stands alone."""
    needed: dict[str, Schema] = {}
    waiting = list(_references(schema))
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed[name] = definitions[name]
            waiting.extend(_references(needed[name]))
    return {**schema, "definitions": needed}


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, list):
        for one in schema:
            yield from _references(one)
    elif isinstance(schema, dict):
        for name, value in schema.items():
            if name == "$ref" and isinstance(value, str):
                yield value.removeprefix("#/definitions/")
            else:
                yield from _references(value)


_METADATA = {"$ref": "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}


def custom(files: list[Path], definitions: dict[str, Schema]) -> dict[str, Schema]:
    """Schemas of the kinds that definitions of custom resources, in JSON or YAML, define."""
    schemas = {}
    for file in files:
        spec = yaml.safe_load(file.read_text("utf-8"))["spec"]
        for version in spec["versions"]:
            schema = strict(version["schema"]["openAPIV3Schema"])
            # CRDs leave metadata to the API server, which knows what it may hold.
            schema["properties"]["metadata"] = _METADATA
            name = file_name(spec["names"]["kind"], spec["group"], version["name"])
            schemas[name] = closed(schema, definitions)
    return schemas


def kserve(definitions: dict[str, Schema]) -> dict[str, Schema]:
    """InferenceService, from the types of KServe's SDK, which are generated from its Go types."""
    with tempfile.TemporaryDirectory() as folder:
        requirement = Path(folder) / "requirements.txt"
        requirement.write_text(KSERVE, "utf-8")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--disable-pip-version-check", "--require-hashes", "--only-binary=:all:"]
        command += ["--dest", folder, "-r", str(requirement)]
        subprocess.run(command, check=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            texts = [
                archive.read(name).decode("utf-8")
                for name in archive.namelist()
                if re.fullmatch(r"kserve/models/v1beta1_\w+\.py", name)
            ]
    types: dict[str, Schema] = {}
    for text in texts:
        types.update(_classes(text))
    known = {**definitions, **types}
    types = json.loads(json.dumps(types), object_hook=lambda one: _resolved(one, known))
    top = {"$ref": "#/definitions/V1beta1InferenceService"}
    return {
        file_name("InferenceService", "serving.kserve.io", "v1beta1"): closed(
            top, {**definitions, **types}
        )
    }


def _classes(text: str) -> dict[str, Schema]:
    """The types of a module of the SDK: their fields and those fields' types."""
    found: dict[str, Schema] = {}
    for node in ast.parse(text).body:
        if not isinstance(node, ast.ClassDef):
            continue
        values = {
            target.id: ast.literal_eval(statement.value)
            for statement in node.body
            if isinstance(statement, ast.Assign)
            for target in statement.targets
            if isinstance(target, ast.Name) and target.id in ("openapi_types", "attribute_map")
        }
        if len(values) == 2:
            fields = {
                values["attribute_map"][name]: _typed(kind)
                for name, kind in values["openapi_types"].items()
            }
            found[node.name] = {
                "type": "object",
                "properties": fields,
                "additionalProperties": False,
            }
    return found


_PLAIN = {"str": "string", "int": "integer", "bool": "boolean", "float": "number"}


def _typed(kind: str) -> Schema:
    inner = re.fullmatch(r"(list|dict)[\[(](?:str, )?(.+)[\])]", kind)
    if inner and inner[1] == "list":
        return {"type": "array", "items": _typed(inner[2])}
    if inner:
        return {"type": "object", "additionalProperties": _typed(inner[2])}
    return {"type": _PLAIN[kind]} if kind in _PLAIN else {"$ref": kind}


def _resolved(schema: Schema, known: dict[str, Schema]) -> Schema:
    """References by the SDK's names as references to definitions; of types not known: anything."""
    kind = schema.get("$ref")
    if not isinstance(kind, str) or kind.startswith("#"):
        return schema
    full = {"V1ObjectMeta": "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}.get(kind)
    full = full or f"io.k8s.api.core.v1.{kind.removeprefix('V1')}"
    name = kind if kind in known else full
    return {"$ref": f"#/definitions/{name}"} if name in known else {}


if __name__ == "__main__":
    main()
