"""Foxglove's protobuf schemas for images and calibration, so that recordings open in Foxglove's viewer.

Only the two messages used are here, as a table of their fields; a test holds them against Foxglove's own package.
They live in a descriptor pool of their own and cannot clash with another copy in the process.
"""

from typing import Any

from google.protobuf import descriptor_pool, message_factory, timestamp_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet

_KINDS = {
    "bytes": FieldDescriptorProto.TYPE_BYTES,
    "double": FieldDescriptorProto.TYPE_DOUBLE,
    "fixed32": FieldDescriptorProto.TYPE_FIXED32,
    "string": FieldDescriptorProto.TYPE_STRING,
    "time": FieldDescriptorProto.TYPE_MESSAGE,
}

# name: (number, kind); a kind in brackets repeats. From the .proto files of foxglove/foxglove-sdk, MIT licence.
_FIELDS = {
    "RawImage": {
        "timestamp": (1, "time"),
        "width": (2, "fixed32"),
        "height": (3, "fixed32"),
        "encoding": (4, "string"),
        "step": (5, "fixed32"),
        "data": (6, "bytes"),
        "frame_id": (7, "string"),
    },
    "CameraCalibration": {
        "timestamp": (1, "time"),
        "width": (2, "fixed32"),
        "height": (3, "fixed32"),
        "distortion_model": (4, "string"),
        "D": (5, "[double]"),
        "K": (6, "[double]"),
        "R": (7, "[double]"),
        "P": (8, "[double]"),
        "frame_id": (9, "string"),
    },
}


def _file(name: str) -> FileDescriptorProto:
    file = FileDescriptorProto(
        name=f"foxglove/{name}.proto",
        package="foxglove",
        syntax="proto3",
        dependency=["google/protobuf/timestamp.proto"],
    )
    message = file.message_type.add(name=name)
    for field, (number, kind) in _FIELDS[name].items():
        repeated = kind.startswith("[")
        message.field.add(
            name=field,
            number=number,
            type=_KINDS[kind.strip("[]")],
            type_name=".google.protobuf.Timestamp" if kind == "time" else None,
            label=FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL,
        )
    return file


_TIMESTAMP = FileDescriptorProto.FromString(timestamp_pb2.DESCRIPTOR.serialized_pb)
_POOL = descriptor_pool.DescriptorPool()
_POOL.Add(_TIMESTAMP)
for _name in _FIELDS:
    _POOL.Add(_file(_name))


def schema(name: str) -> bytes:
    """Return the serialised FileDescriptorSet of `name`, as an MCAP schema record of encoding `protobuf` carries it."""
    data: bytes = FileDescriptorSet(file=[_TIMESTAMP, _file(name)]).SerializeToString(deterministic=True)
    return data


RawImage: Any = message_factory.GetMessageClass(_POOL.FindMessageTypeByName("foxglove.RawImage"))
CameraCalibration: Any = message_factory.GetMessageClass(_POOL.FindMessageTypeByName("foxglove.CameraCalibration"))
