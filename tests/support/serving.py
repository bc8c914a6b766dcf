"""What tests of services need to start a real server and to call it as anyone."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import grpc
import grpc.aio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf.descriptor import ServiceDescriptor
from google.rpc import error_details_pb2, status_pb2

from trackside_protos.runs.v1 import runs_service_pb2
from trackside_serving.calls import Call, Implementation, Service
from trackside_serving.dispatch import Translations
from trackside_serving.identity import Caller, Role
from trackside_serving.server import Server
from trackside_serving.servers_service import Installation
from trackside_serving.settings import Settings
from trackside_serving.tokens import TokenSigner, TokenVerifier

KEY: Final = Ed25519PrivateKey.generate()
SIGNER: Final = TokenSigner(KEY)
VERIFIER: Final = TokenVerifier(KEY.public_key())
ADMIN: Final = Caller("ada", Role.ADMIN)


def bearer(caller: Caller = ADMIN) -> tuple[tuple[str, str], ...]:
    """Return the metadata of a call by this caller."""
    return (("authorization", f"Bearer {SIGNER.mint(caller, timedelta(hours=1))}"),)


async def unused(_request: object, _call: Call) -> object:
    raise AssertionError


class RunsServiceWith:
    """RunsService with the given methods; the others are not called."""

    descriptor: ServiceDescriptor = runs_service_pb2.DESCRIPTOR.services_by_name["RunsService"]

    def __init__(self, handlers: Mapping[str, Implementation] | None = None) -> None:
        self.handlers: Mapping[str, Implementation] = {
            method.name: unused for method in self.descriptor.methods
        } | dict(handlers or {})


@dataclass
class Served:
    """A running server and a channel to it."""

    server: Server
    channel: grpc.aio.Channel
    port: int

    def one(self, path: str) -> "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]":
        return self.channel.unary_unary(path)

    def stream(self, path: str) -> "grpc.aio.UnaryStreamMultiCallable[bytes, bytes]":
        return self.channel.unary_stream(path)

    def converse(self, path: str) -> "grpc.aio.StreamStreamMultiCallable[bytes, bytes]":
        return self.channel.stream_stream(path)


@asynccontextmanager
async def served(
    *services: Service, translations: Translations | None = None, **settings: float | Path | bool
) -> AsyncGenerator[Served]:
    """Serve on a free port of the loopback, and stop at once at the end."""
    server = Server(
        services,
        verifier=VERIFIER,
        installation=Installation(server_id="0123456789abcdef", store="none"),
        settings=Settings.model_validate({"listen": "127.0.0.1:0", **settings}),
        translations=translations,
    )
    port = await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Served(server, channel, port)
    finally:
        await server.drain_and_stop(grace=0)


def status_in(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    """Return the whole status of an error."""
    for key, value in error.trailing_metadata():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            return status_pb2.Status.FromString(value)
    raise AssertionError


def info_in(error: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo:
    """Return the reason of an error, and its facts."""
    info = error_details_pb2.ErrorInfo()
    assert status_in(error).details[0].Unpack(info)
    return info


def violations_in(error: grpc.aio.AioRpcError) -> dict[str, str]:
    """Return the fields that an error names, and what is wrong with each."""
    bad_request = error_details_pb2.BadRequest()
    for detail in status_in(error).details:
        if detail.Unpack(bad_request):
            return {v.field: v.description for v in bad_request.field_violations}
    return {}


def told(error: grpc.aio.AioRpcError) -> tuple[grpc.StatusCode, str]:
    """Return the status code and the reason of an error."""
    return error.code(), info_in(error).reason
