"""The subcommands of `tessera` that a terminal has in the field."""
