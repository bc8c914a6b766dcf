"""`trackside completion`: makes shells complete commands, options, runs and profiles."""

import click

from trackside.cli.command_table import COMPLETION_VARIABLE
from trackside.cli.shells import completion_of


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
    click.echo(completion_of(shell, context.find_root().command, COMPLETION_VARIABLE).source())
