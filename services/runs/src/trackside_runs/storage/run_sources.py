"""Where what a filter may name in a run is stored."""

from typing import Final

from sqlalchemy import ColumnElement

from trackside_runs.filtering.conditions import (
    BitsColumn,
    ScalarColumn,
    SearchText,
    SideTable,
    Sources,
)
from trackside_runs.storage.tables import (
    RUN,
    RUN_FIGURE,
    RUN_LABEL,
    RUN_PARAMETER,
    RUN_SEARCH,
    RUN_TAG,
)


def _figure(value: ColumnElement[float | None]) -> SideTable:
    return SideTable(
        RUN.c.run_id,
        RUN_FIGURE.c.run_id,
        value,
        key=RUN_FIGURE.c.key,
        number=value,
        within=value.is_not(None),
    )


RUN_SOURCES: Final = Sources(
    fields={
        "run_id": ScalarColumn(RUN.c.run_id, absent=""),
        "name": ScalarColumn(RUN.c.name, absent=""),
        "owner": ScalarColumn(RUN.c.owner, absent=""),
        "project": ScalarColumn(RUN.c.project, absent=""),
        "state": ScalarColumn(RUN.c.state),
        "condition": BitsColumn(RUN.c.conditions),
        "tag": SideTable(RUN.c.run_id, RUN_TAG.c.run_id, RUN_TAG.c.tag),
        "label": SideTable(
            RUN.c.run_id, RUN_LABEL.c.run_id, RUN_LABEL.c.value, key=RUN_LABEL.c.key
        ),
        "parameter": SideTable(
            RUN.c.run_id,
            RUN_PARAMETER.c.run_id,
            RUN_PARAMETER.c.text,
            key=RUN_PARAMETER.c.key,
            number=RUN_PARAMETER.c.number,
        ),
        "parent": ScalarColumn(RUN.c.parent_run_id, absent=""),
        "runner": ScalarColumn(RUN.c.runner, absent=""),
        "workflow": ScalarColumn(RUN.c.workflow_name, absent=""),
        "external_key": ScalarColumn(RUN.c.external_key),
        "create_time": ScalarColumn(RUN.c.create_time_ms, absent=0),
        "start_time": ScalarColumn(RUN.c.start_time_ms, absent=0),
        "end_time": ScalarColumn(RUN.c.end_time_ms, absent=0),
        "exit_code": ScalarColumn(RUN.c.exit_code),
        "last": _figure(RUN_FIGURE.c.last),
        "best": _figure(RUN_FIGURE.c.best),
    },
    search=SearchText(RUN_SEARCH.c.text, owner=RUN_SEARCH.c.run_id, item=RUN.c.run_id),
)
"""The storage of every field of `RUN_SCHEMA`."""
