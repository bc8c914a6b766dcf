"""The commands, one module each; `trackside.cli.command_table` names them."""
