"""Begins runs: `start_run`."""

import os
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from trackside.capture.masking import Masker, secrets_of
from trackside.identifiers import new_identifier
from trackside.location import discover
from trackside.session import provenance
from trackside.session.fitting import fit, fit_configuration
from trackside.session.guests import let_runs_be_sent
from trackside.session.hiding import hide_secrets
from trackside.session.mode import Mode, launched_run_id, mode
from trackside.session.open_runs import open_runs
from trackside.session.reporter import HEARTBEAT_SECONDS, Reporter
from trackside.session.run import Run, silent_run
from trackside.session.system_metrics import INTERVAL_SECONDS
from trackside.session.values import one_line, printable, struct_of, value_of
from trackside_protos.runs.v1.provenance_pb2 import Provenance
from trackside_protos.runs.v1.report_pb2 import AttributesReport, RunReport, StateReport
from trackside_protos.runs.v1.run_pb2 import Run as RunMessage
from trackside_protos.runs.v1.run_state_pb2 import RunState
from trackside_protos.runs.v1.runs_service_pb2 import CreateRunRequest


def start_run(  # noqa: PLR0913 - what people may say of a run, all by name
    name: str = "",
    *,
    project: str = "",
    params: Mapping[str, Any] | None = None,
    tags: Iterable[str] = (),
    labels: Mapping[str, Any] | None = None,
    notes: str = "",
    description: str = "",
    termination_protection: bool = False,
    parent: "Run | str | None" = None,
    config: Mapping[str, Any] | None = None,
    capture: bool = True,
    system_metrics: bool | float = True,
) -> Run:
    """Begin a run and return it; use it in a `with` statement, or call `finish`.

    In a program that was launched for a run, attaches to that run: its launcher decides how it
    ends, and its output is captured there. Returns at once, whether there is a server or not.

    Args:
        name: What people call it; by default the program's name.
        project: The project it belongs to; by default `default`.
        params: What varies between runs of one kind.
        tags: Free words.
        labels: Free pairs.
        notes: Free text in Markdown.
        description: One line for people.
        termination_protection: Whether the run stays IDLE when its work has ended.
        parent: The run that this one is a child of, or its id.
        config: The resolved configuration, of any depth.
        capture: Whether output and `logging` of the program become log entries.
        system_metrics: Whether to record processor, memory, disk and network; or each how many
            seconds, by default each 10.

    Raises:
        ValueError: `TRACKSIDE_MODE` names no mode.

    Example:
        ```python
        with trackside.start_run("train", params={"rate": 0.1}, tags=["gpu"]) as run:
            for step in run.progress(range(100)):
                run.log(loss=1 / (step + 1), step=step)
        ```
    """
    chosen = mode()
    let_runs_be_sent()
    interval = INTERVAL_SECONDS if system_metrics is True else float(system_metrics)
    if isinstance(tags, str):
        tags = (tags,)
    launched = launched_run_id()
    run = RunMessage(
        run_id=launched or new_identifier(),
        name=one_line(name) or _program_name(),
        project=project,
        tags=[printable(str(tag)) for tag in tags],
        labels={printable(str(k)): printable(str(v)) for k, v in (labels or {}).items()},
        notes=printable(notes),
        description=printable(description),
        termination_protection=termination_protection,
        parent_run_id=parent.run_id if isinstance(parent, Run) else parent or "",
        engine=provenance.runtime(),
    )
    run.heartbeat_interval.seconds = HEARTBEAT_SECONDS
    for key, value in (params or {}).items():
        run.parameters[printable(str(key))].CopyFrom(value_of(value))
    hide_secrets(run.parameters, Masker(secrets_of(os.environ)).text)
    complaints: list[str] = []
    fit(run, complaints.append)
    if chosen is Mode.DISABLED:
        opened = silent_run(run.run_id, run.name)
    elif launched:
        reporter = Reporter(discover(), chosen, launched, None, system_interval=interval)
        opened = _attach(run, reporter, config, capture=capture)
    else:
        create = CreateRunRequest(run=run, producer_id=f"sdk-{new_identifier()}")
        reporter = Reporter(discover(), chosen, run.run_id, create, system_interval=interval)
        opened = _create(run, reporter, config, capture=capture)
    if params is not None or not launched:
        opened.know_parameters(params or {})
    for complaint in complaints:
        opened.complain(complaint)
    return opened


def current_run() -> Run | None:
    """Return the run that was started last in this program and has not ended."""
    newest = open_runs.newest
    return newest if isinstance(newest, Run) else None


def _create(
    message: RunMessage, reporter: Reporter, config: Mapping[str, Any] | None, *, capture: bool
) -> Run:
    about = provenance.surroundings()
    about.command[:] = [reporter.masker.text(word) for word in about.command]
    running = RunReport(state=StateReport(state=RunState.RUN_STATE_RUNNING))
    return _open(message, reporter, [running], about, config, capture=capture)


def _attach(
    message: RunMessage, reporter: Reporter, config: Mapping[str, Any] | None, *, capture: bool
) -> Run:
    attributes = AttributesReport(
        engine=message.engine,
        workflow_name=message.name,
        tags=message.tags,
        labels=message.labels,
        description=message.description,
        parameters=message.parameters,
    )
    # The launcher knows command, machine and folders better, and captures the output.
    first = [RunReport(attributes=attributes)]
    run = _open(message, reporter, first, Provenance(), config, capture=False)
    if capture:
        run.tap_logging()
    return run


def _open(
    message: RunMessage,
    reporter: Reporter,
    first: list[RunReport],
    about: Provenance,
    config: Mapping[str, Any] | None,
    *,
    capture: bool,
) -> Run:
    run = Run(message.run_id, message.name, reporter, reporter.recorder)
    if config:
        about.configuration.CopyFrom(struct_of(config))
        hide_secrets(about.configuration.fields, reporter.masker.text)
        fit_configuration(about.configuration, reporter.complain)
    if about.ByteSize():
        first.append(RunReport(provenance=about))
    now = time.time_ns()
    for report in first:
        report.time.FromNanoseconds(now)
    reporter.say(first)
    is_only = open_runs.add(run)
    if capture:
        run.tap_logging()
        if is_only:  # the output of a process can go to one run only
            reporter.capture()
    reporter.start(run.obey)
    # The launcher of a launched run knows better what environment it gave.
    reporter.errands.add(lambda: run.describe_origin(with_environment=not launched_run_id()))
    return run


def _program_name() -> str:
    program = sys.argv[0] if sys.argv else ""
    return Path(program).stem or "python"
