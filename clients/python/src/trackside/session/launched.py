"""What a program that was launched for a run asks of the server."""

from collections.abc import Callable
from typing import Any, Final

from google.protobuf.json_format import MessageToDict

from trackside.client.connection import Connection
from trackside.client.errors import TracksideError
from trackside_protos.runs.v1.runs_service_pb2 import GetRunRequest

_SECONDS: Final = 5.0


def parameters_of(run_id: str, complain: Callable[[str], None]) -> dict[str, Any]:
    """Return the parameters of a run; none when the server does not answer in time."""
    try:
        with Connection.discover() as connection:
            request = GetRunRequest(run_id=run_id)
            run = connection.call(connection.runs.GetRun, request, timeout=_SECONDS).run
    except TracksideError as error:
        complain(f"the parameters of the run are not known: {error}")
        return {}
    return {key: _plain(MessageToDict(value)) for key, value in run.parameters.items()}


def _plain(thing: Any) -> Any:  # noqa: ANN401 - as JSON has it
    """Return whole numbers as `int`: on the wire every number has a fraction."""
    if isinstance(thing, float) and thing.is_integer():
        return int(thing)
    return thing
