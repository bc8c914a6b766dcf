"""Taking the address that a server listens at, or saying in one line why not."""

import errno
import os
import socket
from typing import Final

import grpc
import grpc.aio

from trackside_serving.addresses import Address
from trackside_serving.settings import Settings
from trackside_serving.starting import PortTakenError, RemoteRefusedError, SettingsError

_REASONS: Final = {
    errno.EADDRINUSE: "is taken by another process",
    errno.EADDRNOTAVAIL: "is not an address of this machine",
    errno.EACCES: "may not be used without more rights",
}


def bind(server: grpc.aio.Server, settings: Settings) -> int:
    """Make the server listen where the settings say, with TLS if they do; return the port.

    Raises:
        PortTakenError: The address is taken or not ours.
        RemoteRefusedError: Other machines reach the address, which is not allowed.
        SettingsError: The certificate or its key cannot be used.
    """
    address = Address.parse(settings.listen)
    if not (address.is_loopback or settings.allow_remote):
        msg = (
            f"TRACKSIDE_LISTEN={address} is reached by other machines; set"
            " TRACKSIDE_ALLOW_REMOTE=true if that is meant"
        )
        raise RemoteRefusedError(msg)
    credentials = _credentials(settings)
    _probe(address)
    try:
        if credentials is None:
            return server.add_insecure_port(str(address))
        return server.add_secure_port(str(address), credentials)
    except RuntimeError:
        raise _port_taken(address, "cannot be listened at") from None


def _credentials(settings: Settings) -> grpc.ServerCredentials | None:
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    try:
        key, certificate = settings.tls_key.read_bytes(), settings.tls_certificate.read_bytes()
    except OSError as error:
        msg = f"TRACKSIDE_TLS_CERTIFICATE, TRACKSIDE_TLS_KEY: {error}"
        raise SettingsError(msg) from error
    return grpc.ssl_server_credentials([(key, certificate)])


def _probe(address: Address) -> None:
    """Bind and let go: grpc would tell neither the cause nor in one line."""
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, where = found[0]
        with socket.socket(family, kind, protocol) as probe:
            if os.name == "posix":  # elsewhere it would let two servers share the port
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
    except OSError as error:
        code = -1 if error.errno is None else error.errno
        raise _port_taken(address, _REASONS.get(code, "cannot be listened at")) from error


def _port_taken(address: Address, fault: str) -> PortTakenError:
    return PortTakenError(f"{address} {fault}; set TRACKSIDE_LISTEN to another address")
