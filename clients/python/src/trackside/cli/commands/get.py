"""`trackside get`: the lists, each in a module of its own."""

from trackside.cli.command_table import LISTINGS
from trackside.cli.lazy_group import LazyGroup

get: LazyGroup = LazyGroup(
    name="get",
    places=LISTINGS,
    help_text="List runs, and what a run consists of.\n\n-o json and -o yaml are for programs.",
)
