"""Messages in which every field of the schema has a value, however deep."""

from typing import Any, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp

MessageT = TypeVar("MessageT", bound=Message)

_WELL_KNOWN: dict[str, Message] = {
    "google.protobuf.Duration": Duration(seconds=90, nanos=500_000_000),
    "google.protobuf.Timestamp": Timestamp(seconds=1_795_262_400, nanos=1_000),
    "google.protobuf.Struct": Struct(fields={"deep": Value(number_value=1.5)}),
    "google.protobuf.Value": Value(string_value="said"),
}


def full(kind: type[MessageT]) -> MessageT:
    """Return a message with all of its fields set; of a choice between fields the last one."""
    message = kind()
    _fill(message)
    return message


def _fill(message: Message) -> None:
    known = _WELL_KNOWN.get(message.DESCRIPTOR.full_name)
    if known is not None:
        message.MergeFrom(known)
        return
    for field in message.DESCRIPTOR.fields:
        value: Any = getattr(message, field.name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            _fill_map(value, field)
        elif field.message_type is not None:
            _fill(value.add() if field.is_repeated else value)
        elif field.is_repeated:
            value.append(_scalar(field))
        else:
            setattr(message, field.name, _scalar(field))


def _fill_map(entries: Any, field: Any) -> None:
    value = field.message_type.fields_by_name["value"]
    if value.message_type is not None:
        _fill(entries["key"])
    else:
        entries["key"] = _scalar(value)


def _scalar(field: Any) -> Any:
    if field.enum_type is not None:
        return field.enum_type.values[-1].number
    if field.type == FieldDescriptor.TYPE_BYTES:
        return b"\x00\xff"
    values = {
        FieldDescriptor.CPPTYPE_STRING: f"the {field.name}",
        FieldDescriptor.CPPTYPE_BOOL: True,
        FieldDescriptor.CPPTYPE_FLOAT: 0.5,
        FieldDescriptor.CPPTYPE_DOUBLE: 0.5,
        FieldDescriptor.CPPTYPE_INT64: (1 << 60) + field.number,
        FieldDescriptor.CPPTYPE_UINT64: (1 << 60) + field.number,
    }
    return values.get(field.cpp_type, field.number)
