"""The command line: verbs, exit codes, and the only broad `except`."""
