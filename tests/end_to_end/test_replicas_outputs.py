"""Outputs that are read through another replica than the one their agent is connected to."""

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import grpc
import pytest

from support.apart_installation import ApartInstallation
from support.eventually import eventually
from support.plain_client import PlainClient
from support.whole_installation import TRACKSIDE
from trackside.client.errors import TracksideError
from trackside.client.failed_calls import error_of_call
from trackside_protos.runs.v1.runs_service_pb2 import ReadOutputRequest, ReadOutputResponse

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.redis,
    pytest.mark.postgresql,
    pytest.mark.timeout(240),
]

THERE: Final = 0
"""The replica that the agent is connected to."""
ELSEWHERE: Final = 1
SIZE: Final = 64 << 20
PUBLISHES: Final = f"""
import trackside
with trackside.start_run("large") as run:
    with open("large", "wb") as file:
        for number in range({SIZE} >> 20):
            file.write(number.to_bytes(4, "big") * (1 << 18))
    run.output("large")
"""


@pytest.fixture
def run_id(replicas: ApartInstallation, tmp_path: Path) -> str:
    folder = tmp_path / "work"
    folder.mkdir()
    words = ["run", "-o", "name", "--workdir", str(folder), "--", sys.executable, "-c", PUBLISHES]
    done = subprocess.run(  # noqa: S603 - our own program
        [TRACKSIDE, *words],
        env=replicas.environment(ELSEWHERE),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[0]


@pytest.fixture
def elsewhere(replicas: ApartInstallation) -> Iterator[PlainClient]:
    with PlainClient(replicas.addresses[ELSEWHERE], replicas.token) as client:
        yield client


class Read:
    """A read of the one output, from an offset."""

    def __init__(
        self, client: PlainClient, run_id: str, *, offset: int = 0, version: str = ""
    ) -> None:
        request = ReadOutputRequest(run_id=run_id, path="large", offset=offset, version=version)
        self._responses: Iterator[ReadOutputResponse] = client.runs.ReadOutput(
            request, metadata=client.metadata, timeout=120
        )
        self.version = ""
        self.data = bytearray()

    def until(self, size: int) -> TracksideError | None:
        """Read so many bytes, or to the end; return by what it was ended before."""
        try:
            while len(self.data) < size:
                response = next(self._responses, None)
                if response is None:
                    break
                self.version = response.file.version or self.version
                self.data += response.data
        except grpc.RpcError as error:
            return error_of_call(error, "there")
        return None


def digest(replica: PlainClient, run_id: str) -> str:
    read = Read(replica, run_id)
    assert read.until(SIZE + 1) is None
    assert len(read.data) == SIZE
    return hashlib.sha256(read.data).hexdigest()


def test_an_output_is_the_same_through_every_replica(
    replicas: ApartInstallation, elsewhere: PlainClient, run_id: str
) -> None:
    with PlainClient(replicas.addresses[THERE], replicas.token) as there:
        assert digest(elsewhere, run_id) == digest(there, run_id)


def test_a_read_whose_replica_dies_can_be_gone_on_with(
    replicas: ApartInstallation, elsewhere: PlainClient, run_id: str
) -> None:
    door = replicas.replicas[THERE]["runs"]
    first = Read(elsewhere, run_id)
    assert first.until(1 << 20) is None

    door.kill()
    error = first.until(SIZE + 1)

    assert error is not None
    assert (error.status, error.reason) == ("UNAVAILABLE", "AGENT_AWAY")
    assert error.facts.metadata["offset"] == str(len(first.data))
    assert error.facts.retry_after is not None

    door.start()

    def rest() -> Read | None:
        read = Read(elsewhere, run_id, offset=len(first.data), version=first.version)
        return read if read.until(SIZE) is None else None

    whole = bytes(first.data + eventually(rest, within=90).data)
    assert whole == b"".join(n.to_bytes(4, "big") * (1 << 18) for n in range(SIZE >> 20))
