"""Watchbill: an unattended software team that can be trusted at 2 AM.

The folders are layers and imports only go down; ARCHITECTURE.md draws them.
"""

__version__ = "0.1.0"
