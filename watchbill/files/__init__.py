"""The disk: publish-if-absent, locks, journals, front matter, quarantine. No policy."""
