import importlib
import pkgutil

import pytest
from google.protobuf.descriptor import FileDescriptor, ServiceDescriptor

import trackside_protos
from trackside_serving.authorization import CONTROL, RULES, WITHOUT_TOKEN
from trackside_serving.health import Health
from trackside_serving.identity import Role
from trackside_serving.reflection import V1_SERVICE, V1ALPHA_SERVICE

READS = {
    "GetRun",
    "ListRuns",
    "ListTasks",
    "GetTask",
    "ListProcesses",
    "ListOutputs",
    "ReadOutput",
    "ListChanges",
    "WatchRun",
    "WatchRuns",
    "GetStateGraph",
    "ListLogs",
    "WatchLogs",
    "ListSeries",
    "QueryPoints",
    "WatchMetrics",
    "WatchLive",
    "ListRunners",
    "GetServer",
    "Check",
    "Watch",
    "List",
    "ServerReflectionInfo",
}
EVERYBODY = {"GetRun", "GetStateGraph", "GetServer", "Check", "Watch", "List"} | {
    "ServerReflectionInfo"
}
BETWEEN_SERVICES = {"ReportFigures", "ConfirmDeletion"}
PRODUCES = {"ReportRun", "AppendLogs", "AppendMetrics"}
ALL = {path.rpartition("/")[2] for path in RULES}


def services() -> list[ServiceDescriptor]:
    """Every service of our schemas, and those that stand on every server."""
    found = [Health.descriptor, V1_SERVICE, V1ALPHA_SERVICE]
    for module in pkgutil.walk_packages(trackside_protos.__path__, "trackside_protos."):
        if module.name.endswith("_pb2"):
            file: FileDescriptor = importlib.import_module(module.name).DESCRIPTOR
            found.extend(file.services_by_name.values())
    return found


METHODS = {f"/{s.full_name}/{method.name}" for s in services() for method in s.methods}


def test_every_method_has_a_rule_and_every_rule_a_method() -> None:
    assert set(RULES) == METHODS


def test_only_health_needs_no_token() -> None:
    assert {"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"} == WITHOUT_TOKEN
    assert set(RULES) >= WITHOUT_TOKEN


def test_control_calls_exist() -> None:
    assert set(RULES) >= CONTROL


@pytest.mark.parametrize(
    ("role", "methods"),
    [
        (Role.VIEWER, READS),
        (
            Role.REPORTER,
            EVERYBODY | PRODUCES | {"WatchRun", "WatchLogs", "WatchMetrics", "WatchLive"},
        ),
        (Role.AGENT, EVERYBODY | PRODUCES | {"Connect", "SendFile"}),
        (
            Role.USER,
            ALL - BETWEEN_SERVICES - {"Connect", "SendFile", "WatchRunDirectory", "ForceEndRun"},
        ),
        (Role.ADMIN, ALL - BETWEEN_SERVICES),
        (Role.SERVICE, READS | BETWEEN_SERVICES | {"WatchRunDirectory"}),
    ],
)
def test_each_role_may_call_just_these(role: Role, methods: set[str]) -> None:
    allowed = {path.rpartition("/")[2] for path, roles in RULES.items() if role in roles}

    assert allowed == methods
