from trackside.client.run_view import RunView
from trackside_protos.runs.v1.change_pb2 import RunChange, RunSnapshot, TaskChange
from trackside_protos.runs.v1.output_pb2 import Output
from trackside_protos.runs.v1.provenance_pb2 import Provenance
from trackside_protos.runs.v1.run_pb2 import Launch, Run
from trackside_protos.runs.v1.run_state_pb2 import RunState
from trackside_protos.runs.v1.runs_service_pb2 import WatchRunResponse
from trackside_protos.runs.v1.scope_pb2 import Scope
from trackside_protos.runs.v1.task_pb2 import Process, Task


def test_changes_keep_what_they_do_not_repeat() -> None:
    view = RunView(Run(launch=Launch(command=["ls"]), scopes=[Scope(path="fold")]))
    change = RunChange(run=Run(state=RunState.RUN_STATE_RUNNING))

    view.apply(WatchRunResponse(changes=[change]))

    assert view.run.state == RunState.RUN_STATE_RUNNING
    assert list(view.run.launch.command) == ["ls"]
    assert [scope.path for scope in view.run.scopes] == ["fold"]


def test_a_change_of_provenance_replaces_it() -> None:
    view = RunView(Run(provenance=Provenance(work_directory="/a")))
    change = RunChange(run=Run(provenance=Provenance(work_directory="/b")))

    view.apply(WatchRunResponse(changes=[change]))

    assert view.run.provenance.work_directory == "/b"


def test_tasks_processes_scopes_and_outputs_are_kept_by_name() -> None:
    view = RunView()
    snapshot = RunSnapshot(run=Run(run_id="r"), open_tasks=[Task(task_id="t", name="old")])
    changes = [
        RunChange(
            task=TaskChange(task=Task(task_id="t", name="new"), process=Process(process="p"))
        ),
        RunChange(scope=Scope(path="fold", completed_count=2)),
        RunChange(output=Output(path="model.pt")),
    ]

    view.apply(WatchRunResponse(snapshot=snapshot))
    view.apply(WatchRunResponse(changes=changes, caught_up=True))

    assert view.tasks["t"].name == "new"
    assert view.scopes["fold"].completed_count == 2
    assert set(view.processes) == {"p"}
    assert set(view.outputs) == {"model.pt"}
    assert view.caught_up
