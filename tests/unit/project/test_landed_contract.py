"""The wire contract stays compatible: what has landed keeps its number, name and type for ever.

`landed_contract.txt` is the contract as programs out there were built with it, one element per line.
"""

from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    ServiceDescriptorProto,
)

from phoebe_proto.v1 import metering_pb2, rating_pb2

LANDED = set(Path(__file__).with_name("landed_contract.txt").read_text(encoding="utf-8").splitlines())


def elements_now() -> set[str]:
    files = [
        FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb)
        for module in (metering_pb2, rating_pb2)
    ]
    return {line for file in files for line in elements(file)}


def elements(file: FileDescriptorProto) -> Iterator[str]:
    for message in file.message_type:
        yield from fields(message, f"{file.package}.{message.name}")
    for enum in file.enum_type:
        yield from values(enum, f"{file.package}.{enum.name}")
    for service in file.service:
        yield from methods(service, f"{file.package}.{service.name}")


def fields(message: DescriptorProto, name: str) -> Iterator[str]:
    # Nested messages and oneofs would need lines of their own.
    assert not message.nested_type
    assert not message.enum_type
    assert len(message.oneof_decl) == sum(field.proto3_optional for field in message.field)
    yield f"message {name}"
    for field in message.field:
        yield f"field {name} {field.number} {field.name} {kind(field)}"


def kind(field: FieldDescriptorProto) -> str:
    element = (
        field.type_name.lstrip(".") or FieldDescriptorProto.Type.Name(field.type)[len("TYPE_") :].lower()
    )
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return f"repeated {element}"
    return f"optional {element}" if field.proto3_optional else element


def values(enum: EnumDescriptorProto, name: str) -> Iterator[str]:
    for value in enum.value:
        yield f"value {name} {value.number} {value.name}"


def methods(service: ServiceDescriptorProto, name: str) -> Iterator[str]:
    for method in service.method:
        asked = ("stream " if method.client_streaming else "") + method.input_type.lstrip(".")
        answered = ("stream " if method.server_streaming else "") + method.output_type.lstrip(".")
        yield f"call {name}/{method.name} ({asked}) returns ({answered})"


def test_nothing_that_landed_is_gone_or_changed() -> None:
    assert LANDED
    assert sorted(LANDED - elements_now()) == [], "programs out there rely on this"


def test_everything_that_is_new_is_written_down() -> None:
    assert sorted(elements_now() - LANDED) == [], "add these lines to landed_contract.txt"
