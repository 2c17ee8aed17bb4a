"""The command line: options, configuration, console. The only place for typer and rich."""
