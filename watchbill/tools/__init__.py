"""The doors to the outside world, one each: git, the sandbox, the model, the checks, the scanners, the log."""
