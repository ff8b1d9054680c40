"""The way out to the machine's own scheduler: what runs when, written for launchd, systemd or cron.

Nothing here installs or starts a job; it makes text.
"""
