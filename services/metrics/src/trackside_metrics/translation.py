"""From our values to messages."""

import math

from trackside_metrics.goals import guess_goal
from trackside_metrics.listing import ListedSeries
from trackside_protos.metrics.v1 import series_pb2


def series_message(listed: ListedSeries) -> series_pb2.Series:
    """Return a series as callers see it."""
    identity, summary = listed.identity, listed.summary
    goal = guess_goal(identity.key)
    message = series_pb2.Series(
        key=identity.key,
        context=identity.context_map,
        count=summary.points,
        nan_count=summary.nan_count,
        last=summary.last_value,
        last_step=summary.last_step,
        last_time_millis=summary.last_time,
        first_step=summary.step_min,
        goal=goal,
    )
    if not math.isnan(summary.value_min):
        message.minimum = summary.value_min
        message.maximum = summary.value_max
        message.mean = summary.mean
        is_minimised = goal == series_pb2.SERIES_GOAL_MINIMIZE
        message.best = summary.value_min if is_minimised else summary.value_max
    return message
