"""`trackside completion`: makes shells complete commands, options, runs and profiles."""

import click
from click.shell_completion import get_completion_class

from trackside.cli.command_table import COMPLETION_VARIABLE
from trackside.cli.shells import know_shells


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Write what makes a shell complete commands, options, runs and profiles.

    \b
    bash   eval "$(trackside completion bash)"      in ~/.bashrc
    zsh    eval "$(trackside completion zsh)"       in ~/.zshrc
    fish   trackside completion fish | source       in ~/.config/fish/config.fish
    """  # noqa: D301  # click's mark, not a backslash
    know_shells()
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(
        kind(context.find_root().command, {}, "trackside", COMPLETION_VARIABLE).source(), nl=False
    )
