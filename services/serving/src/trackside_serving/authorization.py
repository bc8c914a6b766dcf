"""Which role may call which method: one table over all methods of every server.

What a caller may do with a certain run is asked of `identity` by the service that has the run.
"""

from collections.abc import Mapping
from typing import Final

from trackside_serving.identity import Role

ANYONE: Final = frozenset(Role)
READERS: Final = frozenset({Role.VIEWER, Role.USER, Role.ADMIN, Role.SERVICE})
RUN_READERS: Final = READERS | {Role.REPORTER}
USERS: Final = frozenset({Role.USER, Role.ADMIN})
PRODUCERS: Final = USERS | {Role.REPORTER, Role.AGENT}

RULES: Final[Mapping[str, frozenset[Role]]] = {
    "/trackside.runs.v1.RunsService/CreateRun": USERS,
    "/trackside.runs.v1.RunsService/GetRun": ANYONE,
    "/trackside.runs.v1.RunsService/ListRuns": READERS,
    "/trackside.runs.v1.RunsService/UpdateRun": USERS,
    "/trackside.runs.v1.RunsService/CloseRun": USERS,
    "/trackside.runs.v1.RunsService/KillRun": USERS,
    "/trackside.runs.v1.RunsService/StopRun": USERS,
    "/trackside.runs.v1.RunsService/ForceEndRun": frozenset({Role.ADMIN}),
    "/trackside.runs.v1.RunsService/DeleteRun": USERS,
    "/trackside.runs.v1.RunsService/ListTasks": READERS,
    "/trackside.runs.v1.RunsService/GetTask": READERS,
    "/trackside.runs.v1.RunsService/ListProcesses": READERS,
    "/trackside.runs.v1.RunsService/ListOutputs": READERS,
    "/trackside.runs.v1.RunsService/ReadOutput": READERS,
    "/trackside.runs.v1.RunsService/DeleteOutputs": USERS,
    "/trackside.runs.v1.RunsService/ListChanges": READERS,
    "/trackside.runs.v1.RunsService/ReportRun": PRODUCERS,
    "/trackside.runs.v1.RunsService/WatchRun": RUN_READERS,
    "/trackside.runs.v1.RunsService/WatchRuns": READERS,
    "/trackside.runs.v1.RunsService/WatchRunDirectory": frozenset({Role.SERVICE, Role.ADMIN}),
    "/trackside.runs.v1.RunsService/ReportFigures": frozenset({Role.SERVICE}),
    "/trackside.runs.v1.RunsService/ConfirmDeletion": frozenset({Role.SERVICE}),
    "/trackside.runs.v1.RunsService/RevokeToken": USERS,
    "/trackside.runs.v1.RunsService/ListRevocations": USERS,
    "/trackside.runs.v1.RunsService/GetStateGraph": ANYONE,
    "/trackside.logs.v1.LogsService/AppendLogs": PRODUCERS,
    "/trackside.logs.v1.LogsService/ListLogs": READERS,
    "/trackside.logs.v1.LogsService/WatchLogs": RUN_READERS,
    "/trackside.metrics.v1.MetricsService/AppendMetrics": PRODUCERS,
    "/trackside.metrics.v1.MetricsService/ListSeries": READERS,
    "/trackside.metrics.v1.MetricsService/QueryPoints": READERS,
    "/trackside.metrics.v1.MetricsService/WatchMetrics": RUN_READERS,
    "/trackside.live.v1.LiveService/WatchLive": RUN_READERS,
    "/trackside.runners.v1.RunnersService/Connect": frozenset({Role.AGENT, Role.ADMIN}),
    "/trackside.runners.v1.RunnersService/SendFile": frozenset({Role.AGENT, Role.ADMIN}),
    "/trackside.runners.v1.RunnersService/ListRunners": READERS,
    "/trackside.servers.v1.ServersService/GetServer": ANYONE,
    "/grpc.health.v1.Health/Check": ANYONE,
    "/grpc.health.v1.Health/Watch": ANYONE,
    "/grpc.health.v1.Health/List": ANYONE,
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": ANYONE,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": ANYONE,
}
"""The roles that may call each method, by its full name. A method that is missing is refused."""

WITHOUT_TOKEN: Final = frozenset({"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"})
"""The only methods that need no token: they tell nothing but SERVING or NOT_SERVING."""

CONTROL: Final = frozenset(
    {
        "/grpc.health.v1.Health/Check",
        "/trackside.runs.v1.RunsService/GetRun",
        "/trackside.runs.v1.RunsService/KillRun",
        "/trackside.runs.v1.RunsService/StopRun",
        "/trackside.runs.v1.RunsService/ForceEndRun",
        "/trackside.runs.v1.RunsService/RevokeToken",
        "/trackside.servers.v1.ServersService/GetServer",
    }
)
"""The methods that must still work when everything else is too much: they have their own room."""
