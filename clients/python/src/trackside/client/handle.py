"""A handle to one run, whoever reports it and wherever it executes."""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, Final

from google.protobuf.field_mask_pb2 import FieldMask

from trackside.client import filters, listing, watch
from trackside.client.card import card
from trackside.client.connection import Connection, default_connection
from trackside.client.deletions import OutputsDeletion, delete_outputs
from trackside.client.errors import CallTimeoutError, ConflictError
from trackside.client.resolve import resolve_run
from trackside.client.run_contents import RunContents
from trackside.client.run_view import RunView
from trackside.client.states import (
    has_ended,
    is_final,
    run_state_word,
)
from trackside.client.status import RunStatus, span_text, status_of
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.runs_service_pb2 import (
    DeleteRunRequest,
    KillRunRequest,
    StopRunRequest,
    UpdateRunRequest,
)

_GRACE_SECONDS: Final = 10.0
"""What the server gives a stop that does not say."""


class RunHandle(RunContents):
    """A handle to one run.

    Holds the run as it was when last asked for; methods that ask the server say so.
    May be used from many threads.
    """

    def __repr__(self) -> str:
        return f"<RunHandle {self.run_id} {self.state} {self.name!r}>"

    def _repr_html_(self) -> str:
        """Return a card for notebooks, of the run as it was when last asked for."""
        status = status_of(self._run)
        return card(
            self.run_id,
            self.name,
            status.state,
            percent=status.percent,
            facts=[
                ("", status.message),
                ("now", "" if status.ended else status.doing),
                ("conditions", ", ".join(status.conditions)),
                ("elapsed", span_text(status.elapsed)),
                ("left", span_text(status.remaining)),
                ("machine type", status.machine_type),
            ],
        )

    def refresh(self) -> "RunHandle":
        """Ask for the run as it is now, and return this handle."""
        self._run = listing.get_run(self._connection, self.run_id)
        return self

    def status(self) -> RunStatus:
        """Ask how the run stands now."""
        return status_of(self.refresh().run)

    def wait(self, timeout: float | None = None, *, until: str | Iterable[str] = ()) -> "RunHandle":
        """Wait until the work is over, or the run is in one of the states `until`.

        Without `until`, an IDLE run counts as over. With it, the wait is over as well when
        the run can no longer come to such a state. An outage of the server is waited out.

        Raises:
            CallTimeoutError: `timeout` seconds have passed before.
        """
        wanted = frozenset(_words(until))
        if wanted:
            self._watch(lambda run: run_state_word(run.state) in wanted or is_final(run), timeout)
        else:
            self._watch(has_ended, timeout)
        return self

    def update(  # noqa: PLR0913 - one for each that may be changed
        self,
        *,
        name: str | None = None,
        notes: str | None = None,
        description: str | None = None,
        labels: Mapping[str, str] | None = None,
        termination_protection: bool | None = None,
        add_tags: str | Iterable[str] = (),
        remove_tags: str | Iterable[str] = (),
    ) -> "RunHandle":
        """Change what people say of the run, during it or after; what is not given stays.

        Args:
            name: Its name.
            notes: Free text in Markdown; an empty one removes it.
            description: One line.
            labels: All its labels from now on.
            termination_protection: Whether it stays IDLE after its work has ended.
            add_tags: Tags to add to those that it has, or one.
            remove_tags: Tags to remove, or one.

        Raises:
            InvalidRequestError: Nothing is to be changed, or a value is not allowed.

        Example:
            ```python
            trackside.get_run("@latest").update(notes="alpha was too small", add_tags="keep")
            ```
        """
        said = {
            "name": name,
            "notes": notes,
            "description": description,
            "labels": labels,
            "termination_protection": termination_protection,
        }
        given: dict[str, Any] = {field: value for field, value in said.items() if value is not None}
        request = UpdateRunRequest(
            run=Run(run_id=self.run_id, **given),
            update_mask=FieldMask(paths=given),
            added_tags=_words(add_tags),
            removed_tags=_words(remove_tags),
        )
        self._run = self._connection.call(self._connection.runs.UpdateRun, request).run
        return self

    def kill(self, timeout: float | None = 60.0, *, wait: bool = True) -> "RunHandle":
        """End the run at once, and wait for the proof that no process of it is left.

        Raises:
            ConflictError: The run has ended already, or nobody could end it.
            CallTimeoutError: No proof came within `timeout` seconds; the request stays.
        """
        request = KillRunRequest(run_id=self.run_id)
        self._run = self._connection.call(self._connection.runs.KillRun, request).run
        if wait:
            self._watch(is_final, timeout)
        return self

    def stop(
        self, grace: float | None = None, timeout: float | None = 60.0, *, wait: bool = True
    ) -> "RunHandle":
        """Let the run clean up and end, and wait for the proof that it has.

        The work gets the signal TERM, or `KeyboardInterrupt` in a program that reports by itself.

        Args:
            grace: After so many seconds what is left is killed; by default 10.
            timeout: How long to wait for the proof, counted from the end of the grace time.
            wait: Whether to wait for it.

        Raises:
            ConflictError: The run has ended already, or nobody could end it.
            CallTimeoutError: No proof came in time; the request stays.

        Example:
            ```python
            trackside.get_run("train").stop(grace=30)
            ```
        """
        request = StopRunRequest(run_id=self.run_id)
        if grace is not None:
            request.grace_duration.FromTimedelta(timedelta(seconds=grace))
        self._run = self._connection.call(self._connection.runs.StopRun, request).run
        if wait:
            patience = _GRACE_SECONDS if grace is None else grace
            self._watch(is_final, None if timeout is None else timeout + patience)
        return self

    def delete(self) -> int:
        """Remove the ended run and all it owns for good; say how many, with its children.

        Raises:
            ConflictError: It, or a child, has not ended.
        """
        request = DeleteRunRequest(run_id=self.run_id)
        return self._connection.call(self._connection.runs.DeleteRun, request).deleted_count

    def delete_outputs(
        self,
        confirmation: str,
        *paths: str,
        timeout: float | None = 60.0,
        wait: bool = True,
    ) -> OutputsDeletion:
        """Delete published files where they are, and wait until the run's agent confirms it.

        The run has to have ended; it stays, with the records of what it published, which say then
        that the files are gone. Only what is still as it was published is deleted, and only below
        the directory in which the run was launched.

        Args:
            confirmation: The word `delete`, which the server asks for.
            paths: Only these outputs; by default all.
            timeout: How long to wait for the agent, in seconds.
            wait: Whether to wait for it.

        Raises:
            InvalidRequestError: The word is not `delete`.
            ConflictError: The run has not ended, no agent can reach its files, or its directory
                is one in which nothing is deleted.
            CallTimeoutError: The agent did not confirm in time; the request stays.

        Example:
            ```python
            done = trackside.get_run("@latest").delete_outputs("delete")
            print(done.deleted_count, [kept.path for kept in done.kept])
            ```
        """
        ordered = delete_outputs(self._connection, self.run_id, confirmation, paths)
        if not wait:
            return ordered.outcome
        return ordered.wait(self._connection, self._stopper, timeout)

    @contextmanager
    def sync_context(self) -> Generator["RunHandle"]:
        """Tie the run to what is done here: an interrupt of that kills the run.

        An error that is no interrupt, for example a wait that took too long, does not.

        Example:
            ```python
            with run.sync_context():
                run.wait()  # Ctrl-C kills the run
            ```
        """
        try:
            yield self
        except BaseException as error:
            if not isinstance(error, Exception):
                self._kill_after_interrupt()
            raise

    def _kill_after_interrupt(self) -> None:
        with self._connection.again() as connection:
            killed = RunHandle(self._run, connection)
            with suppress(ConflictError):  # it has ended meanwhile
                killed.kill()
            self._run = killed.run

    def children(self) -> Iterator["RunHandle"]:
        """Yield the children of a parent in order of creation."""
        order = "create_time"
        chosen = filters.children_of(self.run_id)
        for run in listing.list_runs(self._connection, chosen, order_by=order):
            yield RunHandle(run, self._connection)

    def copy(self) -> "RunHandle":
        """Return another handle to the run, as it was when last asked for."""
        return RunHandle(self._run, self._connection)

    def _watch(self, is_enough: Callable[[Run], bool], timeout: float | None) -> None:
        """Follow the run until `is_enough`, keeping this handle's view up to date."""
        if is_enough(self.refresh().run):
            return
        view = RunView(self._run)
        responses = watch.watch_run(self._connection, self.run_id, patient=True)
        with responses, self._stopper.minding(responses, timeout):
            for response in responses:
                view.apply(response)
                self._run = view.run
                if is_enough(self._run):
                    return
        if timeout is not None:  # a watch that was not stopped ends with a final state
            message = f"run {self.run_id} is still {self.state} after {timeout:g} seconds"
            hint = f"`trackside describe {self.run_id}` shows how it stands"
            raise CallTimeoutError(message, hint=hint)


def _words(words: str | Iterable[str]) -> Iterable[str]:
    return [words] if isinstance(words, str) else words


def get_run(run: str, *, connection: Connection | None = None) -> RunHandle:
    """Return a handle to a run, by its id, a unique beginning of it, its name, or `@latest`.

    Raises:
        NotFoundError: There is none, or none that you may see.
        AmbiguousNameError: Several fit.

    Example:
        ```python
        run = trackside.get_run("@latest").wait()
        print(run.state, run.outputs())
        ```
    """
    connection = connection or default_connection()
    run_id = resolve_run(connection, run)
    return RunHandle(listing.get_run(connection, run_id), connection)


def list_runs(
    filter_text: str = "",
    *,
    order_by: str = "",
    limit: int | None = None,
    connection: Connection | None = None,
) -> Iterator[RunHandle]:
    """Yield handles to the runs that match a filter, newest first unless asked otherwise."""
    connection = connection or default_connection()
    for run in listing.list_runs(connection, filter_text, order_by=order_by, limit=limit):
        yield RunHandle(run, connection)
