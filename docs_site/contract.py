"""The reference of the RPCs, out of the comments of the wire contract."""

import tempfile
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)
from grpc_tools import protoc

_PROTO = Path(__file__).parent.parent / "proto"
_FILES = ("phoebe/v1/metering.proto", "phoebe/v1/rating.proto")
# Numbers of fields in descriptor.proto, of which the paths of comments consist.
_MESSAGE, _ENUM, _SERVICE, _MEMBER = 4, 5, 6, 2

type Comments = Mapping[tuple[int, ...], str]


def page() -> str:
    """Write the page."""
    lines = [
        "# RPCs",
        "",
        "Out of the wire contract, package `phoebe.v1`. How to call it: [Calling the rater](calling.md).",
    ]
    for file in _described():
        comments = {tuple(each.path): each.leading_comments for each in file.source_code_info.location}
        for number, service in enumerate(file.service):
            lines += _service(service, comments, (_SERVICE, number))
    for file in _described():
        comments = {tuple(each.path): each.leading_comments for each in file.source_code_info.location}
        for number, message in enumerate(file.message_type):
            lines += _message(message, comments, (_MESSAGE, number))
        for number, enum in enumerate(file.enum_type):
            lines += _enum(enum, comments, (_ENUM, number))
    return "\n".join([*lines, ""])


def _described() -> list[FileDescriptorProto]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "described"
        well_known = str(files("grpc_tools") / "_proto")
        status = protoc.main(
            [
                "protoc",
                f"-I{_PROTO}",
                f"-I{well_known}",
                "--include_source_info",
                f"--descriptor_set_out={out}",
                *_FILES,
            ]
        )
        if status:
            raise RuntimeError("protoc can't read the contract; it said why")
        return list(FileDescriptorSet.FromString(out.read_bytes()).file)


def _service(service: ServiceDescriptorProto, comments: Comments, path: tuple[int, ...]) -> Iterator[str]:
    yield from ("", f"## {service.name}", "", _text(comments.get(path, "")))
    for number, method in enumerate(service.method):
        asked, answered = (_type(name) for name in (method.input_type, method.output_type))
        stream = "stream " if method.client_streaming else ""
        yield from ("", f"### {service.name}/{method.name}", "", f"{stream}{asked} → {stream}{answered}", "")
        yield _text(comments.get((*path, _MEMBER, number), ""))


def _message(message: DescriptorProto, comments: Comments, path: tuple[int, ...]) -> Iterator[str]:
    yield from ("", f"## {message.name}", "", _text(comments.get(path, "")))
    if message.field:
        yield from ("", "| field | type | |", "|---|---|---|")
    for number, field in enumerate(message.field):
        text = _cell(comments.get((*path, _MEMBER, number), ""))
        yield f"| `{field.name}` | {_field_type(field)} | {text} |"


def _enum(enum: EnumDescriptorProto, comments: Comments, path: tuple[int, ...]) -> Iterator[str]:
    yield from ("", f"## {enum.name}", "", _text(comments.get(path, "")), "", "| value | |", "|---|---|")
    for number, value in enumerate(enum.value):
        yield f"| `{value.name}` | {_cell(comments.get((*path, _MEMBER, number), ''))} |"


def _field_type(field: FieldDescriptorProto) -> str:
    named = (
        _type(field.type_name) if field.type_name else FieldDescriptorProto.Type.Name(field.type)[5:].lower()
    )
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return f"repeated {named}"
    return f"optional {named}" if field.proto3_optional else named


def _type(name: str) -> str:
    if name.startswith(".phoebe.v1."):
        short = name.rpartition(".")[2]
        return f"[{short}](#{short.lower()})"
    return name.lstrip(".")


def _text(comment: str) -> str:
    return "\n".join(line.removeprefix(" ") for line in comment.rstrip().splitlines())


def _cell(comment: str) -> str:
    return " ".join(comment.split()).replace("|", "&#124;")
