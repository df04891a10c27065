"""TensorFlow Serving's messages, built without TensorFlow.

The part of the protocol that the client speaks is written down below and loaded into a
descriptor pool of its own. So the client needs grpc and protobuf alone, and lives in one
process with TensorFlow and `tensorflow_serving`, which register the same names in the default
pool. Fields left out here survive a round trip as unknown fields.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    wrappers_pb2,
)

# "message NAME" or "enum NAME" opens a type; "TYPE NAME NUMBER" is a field. `TYPE*` is repeated
# and `{TYPE}` a map from string. Types without a dot belong to the package of their schema.
_TENSORFLOW = """
enum DataType
    DT_INVALID 0, DT_FLOAT 1, DT_DOUBLE 2, DT_INT32 3, DT_UINT8 4, DT_INT16 5, DT_INT8 6,
    DT_STRING 7, DT_COMPLEX64 8, DT_INT64 9, DT_BOOL 10, DT_BFLOAT16 14, DT_UINT16 17,
    DT_COMPLEX128 18, DT_HALF 19, DT_RESOURCE 20, DT_VARIANT 21, DT_UINT32 22, DT_UINT64 23
enum Code
    OK 0, CANCELLED 1, UNKNOWN 2, INVALID_ARGUMENT 3, DEADLINE_EXCEEDED 4, NOT_FOUND 5,
    ALREADY_EXISTS 6, PERMISSION_DENIED 7, RESOURCE_EXHAUSTED 8, FAILED_PRECONDITION 9,
    ABORTED 10, OUT_OF_RANGE 11, UNIMPLEMENTED 12, INTERNAL 13, UNAVAILABLE 14, DATA_LOSS 15,
    UNAUTHENTICATED 16
message Dim
    int64 size 1, string name 2
message TensorShapeProto
    Dim* dim 2, bool unknown_rank 3
message TensorProto
    DataType dtype 1, TensorShapeProto tensor_shape 2, int32 version_number 3,
    bytes tensor_content 4, float* float_val 5, double* double_val 6, int32* int_val 7,
    bytes* string_val 8, int64* int64_val 10, bool* bool_val 11, int32* half_val 13,
    uint32* uint32_val 16, uint64* uint64_val 17
message TensorInfo
    string name 1, DataType dtype 2, TensorShapeProto tensor_shape 3
message SignatureDef
    {TensorInfo} inputs 1, {TensorInfo} outputs 2, string method_name 3
"""

_SERVING = """
enum State
    UNKNOWN 0, START 10, LOADING 20, AVAILABLE 30, UNLOADING 40, END 50
message ModelSpec
    string name 1, google.protobuf.Int64Value version 2, string version_label 4,
    string signature_name 3
message PredictRequest
    ModelSpec model_spec 1, {tensorflow.TensorProto} inputs 2, string* output_filter 3
message PredictResponse
    {tensorflow.TensorProto} outputs 1, ModelSpec model_spec 2
message StatusProto
    tensorflow.Code error_code 1, string error_message 2
message ModelVersionStatus
    int64 version 1, State state 2, StatusProto status 3
message GetModelStatusRequest
    ModelSpec model_spec 1
message GetModelStatusResponse
    ModelVersionStatus* model_version_status 1
message SignatureDefMap
    {tensorflow.SignatureDef} signature_def 1
message GetModelMetadataRequest
    ModelSpec model_spec 1, string* metadata_field 2
message GetModelMetadataResponse
    ModelSpec model_spec 1, {google.protobuf.Any} metadata 2
message LatestVersions
    uint32 num_versions 1
message AllVersions
message SpecificVersions
    int64* versions 1
message VersionPolicy
    LatestVersions latest 100, AllVersions all 101, SpecificVersions specific 102
message ModelConfig
    string name 1, string base_path 2, string model_platform 4,
    VersionPolicy model_version_policy 7, {int64} version_labels 8
message ModelConfigList
    ModelConfig* config 1
message ModelServerConfig
    ModelConfigList model_config_list 1
message ReloadConfigRequest
    ModelServerConfig config 1
message ReloadConfigResponse
    StatusProto status 1
"""

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = ("double", "float", "int64", "uint64", "int32", "bool", "string", "bytes", "uint32")


def _add_field(
    message: descriptor_pb2.DescriptorProto, scope: str, enums: set[str], text: str
) -> None:
    """Adds the field that `text`, "TYPE NAME NUMBER", describes to `message`."""
    kind, name, number = text.split()
    base = kind.strip("*{}")
    field = message.field.add(name=name, number=int(number), label=_Field.LABEL_OPTIONAL)
    if kind != base:
        field.label = _Field.LABEL_REPEATED
    if kind.startswith("{"):
        title = "".join(part.capitalize() for part in name.split("_")) + "Entry"
        entry = message.nested_type.add(name=title)
        entry.options.map_entry = True
        _add_field(entry, scope, enums, "string key 1")
        _add_field(entry, scope, enums, f"{base} value 2")
        field.type, field.type_name = _Field.TYPE_MESSAGE, f"{scope}.{message.name}.{title}"
    elif base in _SCALARS:
        field.type = _Field.Type.Value(f"TYPE_{base.upper()}")
    else:
        full = f".{base}" if "." in base else f"{scope}.{base}"
        field.type = _Field.TYPE_ENUM if full in enums else _Field.TYPE_MESSAGE
        field.type_name = full


def _load(
    pool: descriptor_pool.DescriptorPool, package: str, schema: str, imports: list[str]
) -> None:
    """Adds one package of messages to the pool."""
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{package}.proto", package=package, syntax="proto3", dependency=imports
    )
    enums = {".tensorflow.Code"}
    for block in (
        schema.replace("\nmessage ", "\n\nmessage ").replace("\nenum ", "\n\nenum ").split("\n\n")
    ):
        if not block.strip():
            continue
        head, _, body = block.strip().partition("\n")
        kind, name = head.split()
        members = [member for member in " ".join(body.split()).split(", ") if member]
        if kind == "enum":
            enums.add(f".{package}.{name}")
            enum = file.enum_type.add(name=name)
            for member in members:
                value, number = member.split()
                enum.value.add(name=value, number=int(number))
        else:
            message = file.message_type.add(name=name)
            for member in members:
                _add_field(message, f".{package}", enums, member)
    pool.Add(file)


def _build() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    well_known = [any_pb2.DESCRIPTOR, wrappers_pb2.DESCRIPTOR]
    for descriptor in well_known:
        pool.AddSerializedFile(descriptor.serialized_pb)
    _load(pool, "tensorflow", _TENSORFLOW, [])
    imports = ["tensorflow.proto", *(descriptor.name for descriptor in well_known)]
    _load(pool, "tensorflow.serving", _SERVING, imports)
    return pool


_POOL = _build()


def _class(name: str) -> Any:
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(name))


TensorProto = _class("tensorflow.TensorProto")
TensorShapeProto = _class("tensorflow.TensorShapeProto")
TensorInfo = _class("tensorflow.TensorInfo")
SignatureDef = _class("tensorflow.SignatureDef")
ModelSpec = _class("tensorflow.serving.ModelSpec")
PredictRequest = _class("tensorflow.serving.PredictRequest")
PredictResponse = _class("tensorflow.serving.PredictResponse")
GetModelStatusRequest = _class("tensorflow.serving.GetModelStatusRequest")
GetModelStatusResponse = _class("tensorflow.serving.GetModelStatusResponse")
GetModelMetadataRequest = _class("tensorflow.serving.GetModelMetadataRequest")
GetModelMetadataResponse = _class("tensorflow.serving.GetModelMetadataResponse")
SignatureDefMap = _class("tensorflow.serving.SignatureDefMap")
ModelConfig = _class("tensorflow.serving.ModelConfig")
ModelServerConfig = _class("tensorflow.serving.ModelServerConfig")
ReloadConfigRequest = _class("tensorflow.serving.ReloadConfigRequest")
ReloadConfigResponse = _class("tensorflow.serving.ReloadConfigResponse")

DATA_TYPE = _POOL.FindEnumTypeByName("tensorflow.DataType")
ERROR_CODE = _POOL.FindEnumTypeByName("tensorflow.Code")
STATE = _POOL.FindEnumTypeByName("tensorflow.serving.State")
DT_INT32 = DATA_TYPE.values_by_name["DT_INT32"].number
