"""Our messages are those that clients have, by number, type and name."""

import base64
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from app.rpc.generated import open_inference_pb2 as pb
from scripts.proto import stale
from tests.client_environment import run_client

OURS = FileDescriptorProto.FromString(pb.DESCRIPTOR.serialized_pb)
TRITON = ("tritonclient.grpc.service_pb2", "tritonclient.grpc.model_config_pb2")
KSERVE = ("kserve.protocol.grpc.grpc_predict_v2_pb2",)

# The field is the protocol's, though this client has not got it.
NOT_TRITONS = {("ModelMetadataResponse", 6)}
# Its own dialect: the model's name is field 1 there, which our server understands.
KSERVES_OWN = {
    *("RepositoryModelLoadRequest", "RepositoryModelLoadResponse"),
    *("RepositoryModelUnloadRequest", "RepositoryModelUnloadResponse"),
}

Field = tuple[str, int, int, str]
Method = tuple[str, str, bool, bool]


@cache
def described(*modules: str) -> list[FileDescriptorProto]:
    texts = (run_client("describe.py", module) for module in modules)
    return [FileDescriptorProto.FromString(base64.b64decode(text)) for text in texts]


def fields(file: Any) -> dict[tuple[str, int], Field]:
    """By message and number: name, type, label and the type's name."""
    return {
        (message, field.number): (
            field.name,
            field.type,
            field.label,
            field.type_name.rpartition(".")[2],
        )
        for message, parts in messages(file.message_type)
        for field in parts.field
    }


def messages(described: Any, inside: str = "") -> Iterator[tuple[str, Any]]:
    for message in described:
        name = inside + message.name
        yield name, message
        yield from messages(message.nested_type, f"{name}.")


def enums(file: Any) -> dict[tuple[str, str], int]:
    kinds = [(enum.name, enum) for enum in file.enum_type]
    kinds += [
        (f"{name}.{enum.name}", enum)
        for name, message in messages(file.message_type)
        for enum in message.enum_type
    ]
    return {(name, value.name): value.number for name, e in kinds for value in e.value}


def methods(file: Any) -> dict[str, Method]:
    return {
        f"{file.package}.{service.name}/{method.name}": (
            method.input_type,
            method.output_type,
            method.client_streaming,
            method.server_streaming,
        )
        for service in file.service
        for method in service.method
    }


def test_the_generated_code_is_that_of_the_description() -> None:
    assert stale() == []


def test_every_field_method_and_value_is_one_of_tritons() -> None:
    theirs: dict[tuple[str, int], Field] = {}
    their_methods: dict[str, Method] = {}
    their_values: dict[tuple[str, str], int] = {}
    for file in described(*TRITON):
        theirs |= fields(file)
        their_methods |= methods(file)
        their_values |= enums(file)
    for place, field in fields(OURS).items():
        if place not in NOT_TRITONS and "PropertiesEntry" not in place[0]:
            assert theirs.get(place) == field, place
    assert methods(OURS).items() <= their_methods.items()
    assert enums(OURS).items() <= their_values.items()


def test_every_field_that_kserve_has_is_ours() -> None:
    (file,) = described(*KSERVE)
    ours = fields(OURS)
    for place, field in fields(file).items():
        if place[0] not in KSERVES_OWN:
            assert ours.get(place) == field, place
    assert methods(file).keys() <= methods(OURS).keys()


@pytest.mark.parametrize("name", sorted(KSERVES_OWN))
def test_kserves_own_messages_differ_as_we_take_them_to(name: str) -> None:
    (file,) = described(*KSERVE)
    first = fields(file)[name, 1][0]
    assert first == "model_name"
