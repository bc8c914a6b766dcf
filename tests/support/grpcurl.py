"""grpcurl, built once with Go into a cache outside the clone."""

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

import platformdirs
import pytest

_MODULE: Final = "github.com/fullstorydev/grpcurl/cmd/grpcurl"
_VERSION: Final = "v1.9.3"
_BUILD_SECONDS: Final = 240


@cache
def grpcurl_path() -> Path:
    """Return the program, built if it is not there; skip the test where that cannot be."""
    folder = platformdirs.user_cache_path("trackside-tests") / f"grpcurl-{_VERSION}"
    program = folder / "grpcurl"
    if found := shutil.which("grpcurl"):
        return Path(found)
    if not program.exists():
        go = shutil.which("go")
        if go is None:
            pytest.skip("grpcurl is not there, and without Go it cannot be built")
        built_in = folder / f"by-{os.getpid()}"  # others may build it as well
        built = subprocess.run(  # noqa: S603 - a program of the machine
            [go, "install", f"{_MODULE}@{_VERSION}"],
            env={**os.environ, "GOBIN": str(built_in)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_BUILD_SECONDS,
            check=False,
        )
        if built.returncode:
            pytest.skip("grpcurl cannot be built: its module is not to be had here")
        (built_in / program.name).replace(program)
        built_in.rmdir()
    return program


def grpcurl(address: str, token: str, *words: str, data: str = "") -> "subprocess.Popen[str]":
    """Start grpcurl against a server, with reflection only."""
    command = [
        str(grpcurl_path()),
        "-plaintext",
        *("-H", f"authorization: Bearer {token}"),
        *(["-d", data] if data else []),
        address,
        *words,
    ]
    return subprocess.Popen(  # noqa: S603 - the program built above
        command,
        env={**os.environ, "NO_PROXY": "127.0.0.1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
