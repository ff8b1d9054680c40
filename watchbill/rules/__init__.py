"""Decisions. Pure functions: no disk, no clock, no network; `now` is passed in where it matters."""
