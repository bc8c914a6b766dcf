"""Addresses of the form `HOST:PORT`."""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from typing_extensions import override

_SHAPE: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})")
_LAST_PORT: Final = 65535


@dataclass(frozen=True, slots=True)
class Address:
    """A host (a name, an IPv4 address, or an IPv6 address without brackets) and a port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Return the address that the text says.

        Raises:
            ValueError: It is not of the form `HOST:PORT`.
        """
        match = _SHAPE.fullmatch(text)
        if match is None or int(match["port"]) > _LAST_PORT:
            msg = "an address is HOST:PORT, for example 127.0.0.1:8750 or [::1]:8750"
            raise ValueError(msg)
        return cls(match["host"].strip("[]"), int(match["port"]))

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it; a name other than `localhost` may be any."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @override
    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"
