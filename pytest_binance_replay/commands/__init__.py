"""The commands of `binance-replay`, a module each, named as the command is.

Each has a `SUMMARY` for the list of commands, `add_arguments(parser)`, which also gives
the parser its description and epilog, and `run(options)`, which returns the exit code
or raises a `ReplayError`. `cli.py` imports them all, so what costs much to import is
imported by `run`.
"""
