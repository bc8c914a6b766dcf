"""Tokens that are revoked while every service is a process of its own, twice."""

import subprocess
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

import grpc
import pytest

from support.apart_installation import SERVICES, ApartInstallation, ServiceProcess
from support.eventually import eventually
from support.plain_client import PlainClient
from support.whole_installation import TRACKSIDE, done
from trackside.client.failed_calls import error_of_call
from trackside.identifiers import new_identifier
from trackside_protos.live.v1.live_service_pb2 import LogsPart, WatchLiveRequest
from trackside_protos.logs.v1.logs_service_pb2 import WatchLogsRequest
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.runs_service_pb2 import CreateRunRequest, WatchRunsRequest
from trackside_protos.servers.v1.servers_service_pb2 import GetServerRequest
from trackside_serving.home import Home
from trackside_serving.identity import Caller, Role

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.redis,
    pytest.mark.postgresql,
    pytest.mark.timeout(240),
]

ANN: Final = Caller("ann", Role.USER)
GOOD: Final = ""


@pytest.fixture
def token(replicas: ApartInstallation) -> str:
    return Home(replicas.home).signer().mint(ANN, timedelta(hours=1))


@pytest.fixture
def run_id(replicas: ApartInstallation, token: str) -> str:
    run = Run(run_id=new_identifier(), name="fit")
    with PlainClient(replicas.addresses[0], token) as client:
        client.call(client.runs.CreateRun, CreateRunRequest(run=run, producer_id="sdk-1"))
    return run.run_id


def revoke(replicas: ApartInstallation, token: str) -> None:
    words = ["token", "revoke", "--yes", "-"]
    process = subprocess.Popen(  # noqa: S603 - our own program
        [TRACKSIDE, *words],
        env=replicas.environment(0),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    with process.stdin:
        process.stdin.write(token)
    said = done(process, words)
    assert (said.code, "Successfully revoked token" in said.err) == (0, True)


@contextmanager
def channel_to(process: ServiceProcess) -> Generator[grpc.Channel]:
    with grpc.insecure_channel(process.address, [("grpc.enable_http_proxy", 0)]) as channel:
        yield channel


def reason_of(call: Callable[[], object]) -> str:
    """Return why a call is refused; empty when it is not."""
    try:
        call()
    except grpc.RpcError as error:
        return error_of_call(error, "there").reason or str(error)
    return GOOD


def answer_of(process: ServiceProcess, token: str) -> str:
    """Return why a process refuses a token; empty when it takes it."""
    with channel_to(process) as channel:
        get: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            "/trackside.servers.v1.ServersService/GetServer"
        )
        data = GetServerRequest().SerializeToString()
        metadata = (("authorization", f"Bearer {token}"),)
        return reason_of(lambda: get(data, metadata=metadata, timeout=20, wait_for_ready=True))


def end_of_watch(
    process: ServiceProcess, path: str, data: bytes, token: str, opened: Callable[[], None]
) -> str:
    """Return why a watch ended that was opened before something happened."""
    with channel_to(process) as channel:
        watch: grpc.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(path)
        call = watch(data, metadata=(("authorization", f"Bearer {token}"),), timeout=60)
        if reason := reason_of(lambda: next(call)):
            return reason
        opened()
        return reason_of(lambda: list(call))


def test_a_token_that_is_revoked_at_one_replica_is_refused_by_every_service_of_all(
    replicas: ApartInstallation, token: str, run_id: str
) -> None:
    watches = {
        "runs": ("/trackside.runs.v1.RunsService/WatchRuns", WatchRunsRequest()),
        "logs": ("/trackside.logs.v1.LogsService/WatchLogs", WatchLogsRequest(run_id=run_id)),
        "live": (
            "/trackside.live.v1.LiveService/WatchLive",
            WatchLiveRequest(run_id=run_id, logs=LogsPart()),
        ),
    }
    assert {answer_of(process, token) for process in replicas.processes} == {GOOD}

    ends: dict[str, str] = {}
    waiting = list(watches.items())

    def open_the_next() -> None:
        if not waiting:
            revoke(replicas, token)
            return
        service, (path, request) = waiting.pop()
        ends[service] = end_of_watch(
            replicas.replicas[1][service], path, request.SerializeToString(), token, open_the_next
        )

    open_the_next()

    assert ends == dict.fromkeys(watches, "TOKEN_REVOKED")
    for process in replicas.processes:
        eventually(lambda: answer_of(process, token) == "TOKEN_REVOKED")  # noqa: B023
    assert {answer_of(process, replicas.token) for process in replicas.processes} == {GOOD}


def test_a_revoked_token_is_refused_after_a_restart_without_the_service_that_revoked_it(
    replicas: ApartInstallation, token: str, run_id: str
) -> None:
    first = replicas.replicas[0]
    request = WatchLiveRequest(run_id=run_id, logs=LogsPart()).SerializeToString()
    path = "/trackside.live.v1.LiveService/WatchLive"
    revoke(replicas, token)
    for service in SERVICES:
        eventually(lambda: answer_of(first[service], token) == "TOKEN_REVOKED")  # noqa: B023

    for replica in replicas.replicas:
        replica["runs"].kill()
    for service in ("logs", "metrics", "live"):
        first[service].kill()
        first[service].start()

    assert answer_of(first["logs"], token) == "TOKEN_REVOKED"
    assert answer_of(first["metrics"], token) == "TOKEN_REVOKED"
    # It keeps no copy; whom it asks with the caller's token does.
    assert end_of_watch(first["live"], path, request, token, lambda: None) == "TOKEN_REVOKED"
    assert answer_of(first["logs"], replicas.token) == GOOD


def test_the_local_users_token_is_exchanged_and_the_agent_works_on(
    replicas: ApartInstallation, run_id: str
) -> None:
    del run_id
    old = replicas.token

    revoke(replicas, old)

    assert replicas.token != old
    for process in replicas.processes:
        eventually(lambda: answer_of(process, old) == "TOKEN_REVOKED")  # noqa: B023
    words = ["run", "-o", "name", "--", "sh", "-c", "exit 0"]
    ran = subprocess.run(  # noqa: S603 - our own program
        [TRACKSIDE, *words],
        env=replicas.environment(1),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert ran.returncode == 0, ran.stderr
