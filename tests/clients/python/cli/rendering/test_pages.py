from support.example_runs import (
    CHILD_ID,
    FAILED_ID,
    NOW,
    PARENT_ID,
    at,
    child,
    failed_child,
    log_block,
    outputs,
    parent,
    series,
    tasks,
)
from trackside.cli.paint import Paint
from trackside.cli.rendering.control import control_text
from trackside.cli.rendering.pages import RunPage, error_lines, page_lines
from trackside.client.log_lines import lines_of
from trackside_protos.runs.v1.run_pb2 import ControlRequest, ErrorReport
from trackside_protos.runs.v1.run_state_pb2 import RunAction

_PLAIN = Paint()


def _page(page: RunPage) -> str:
    return "\n".join(page_lines(page, NOW, _PLAIN)) + "\n"


def test_the_page_of_a_parent_lists_its_children() -> None:
    text = _page(RunPage(run=parent(), children=[child(), failed_child()]))

    assert text.startswith(f"Parent run {PARENT_ID}\n  Name      digits sweep\n")
    assert (
        "\nChildren\n"
        "  CHILD             NAME          CREATED    STATE    DURATION   TASKS    BEST\n"
        f"  {CHILD_ID}  epsilon=0.02  3 min ago  RUNNING  1 min 5 s  3/5 60%  0.981  "
        "Fitting fold 3/5 - SVC\n"
        f"  {FAILED_ID}  epsilon=0.5   3 min ago  FAILED   12 s\n"
    ) in text


def test_the_page_of_a_child_names_its_parent_and_lists_its_nodes() -> None:
    text = _page(RunPage(run=child(), parent=parent(), tasks=tasks()))

    assert f"  Parent      {PARENT_ID} (digits sweep)\n" in text
    assert (
        "\nNodes\n  NODE         STATE      DURATION\n  load digits  CACHED     <cache hit>\n"
        in (text)
    )


def test_a_page_shows_progress_scores_outputs_and_the_last_log_lines() -> None:
    page = RunPage(
        run=child(), series=series(), outputs=outputs(), log=list(lines_of([log_block()]))
    )

    text = _page(page)

    assert "60%, ~43 s left" in text
    assert "\nScores\n" in text
    assert "model.joblib" in text
    assert "WARNING  [fold=3] slow to converge" in text


def test_a_failed_run_says_why_and_what_would_help() -> None:
    text = _page(RunPage(run=failed_child()))

    assert "  State       FAILED EXIT_CODE\n  Exit        3\n" in text
    assert "\nError\n  ValueError: epsilon is too large (fold=2)\n    at most 0.4\n" in text
    assert f"\nNext\n  trackside logs --tail 100 {FAILED_ID}\n" in text


def test_the_page_of_a_parent_leads_to_a_child_that_failed() -> None:
    text = _page(RunPage(run=parent(), children=[child(), failed_child()]))

    assert f"\nNext\n  trackside describe {FAILED_ID}\n  trackside watch {PARENT_ID}\n" in text


def test_a_list_that_goes_on_says_how_to_see_the_rest() -> None:
    page = RunPage(run=parent(), children=[child()], more={"Children": "trackside get runs"})

    assert "\n  … more: trackside get runs\n" in _page(page)


def test_a_control_request_shows_the_time_of_each_step() -> None:
    assert control_text(failed_child().control_requests[0]).endswith(
        ", delivered +0.004 s, acknowledged +0.010 s, confirmed +0.120 s"
    )


def test_a_control_request_without_proof_says_so() -> None:
    request = ControlRequest(action=RunAction.RUN_ACTION_KILL, request_time=at(0))

    assert control_text(request).endswith("not confirmed yet")


def test_of_a_long_traceback_the_end_is_shown() -> None:
    lines = error_lines(ErrorReport(kind="E", traceback="\n".join(map(str, range(100)))))

    assert lines[1] == "  …"
    assert lines[-1] == "  99"
    assert len(lines) == 42


def test_no_field_of_a_run_reaches_the_terminal_raw() -> None:
    run = child()
    evil = "\x1b[31m\nevil"
    run.name = run.description = run.state_message = run.notes = run.workflow_name = evil
    run.project = run.engine = run.external_key = run.engine_state = evil
    run.progress.message = run.result.best_series = evil
    run.error.kind = run.error.message = run.error.traceback = evil
    run.error.context[evil] = evil
    run.labels[evil] = evil
    run.tags.append(evil)
    run.parameters[evil].string_value = evil
    run.provenance.source.repository = run.provenance.machine.host = evil
    run.provenance.command.append(evil)

    assert "\x1b" not in _page(RunPage(run=run, parent=run, children=[run]))
