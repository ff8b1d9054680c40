"""What every Linux sandbox shows of the host beyond its programs, and what it leaves out.

Owns two lists: the names of /etc, and the sections of a git configuration.
"""

from __future__ import annotations

from pathlib import Path

from watchbill.tools.sandbox.contract import MIB

# Of /etc, what programs need to start and to agree with the host about languages, zones and certificates.
ETC = (
    "alternatives", "ca-certificates", "ca-certificates.conf", "crypto-policies", "debian_version", "fonts",
    "gai.conf", "host.conf", "java-11-openjdk", "java-17-openjdk", "java-21-openjdk", "ld.so.cache", "ld.so.conf",
    "ld.so.conf.d", "locale.alias", "localtime", "magic", "maven", "mime.types", "nsswitch.conf", "os-release",
    "perl", "pki/ca-trust", "pki/tls/certs", "protocols", "python3", "python3.11", "services", "ssl/certs",
    "ssl/openssl.cnf", "terminfo", "timezone", "xml",
)  # fmt: skip
# A repository's configuration may hold passwords inside addresses; only these sections are shown inside.
_SHOWN_SECTIONS = ("core", "extensions", "diff", "merge", "status", "log", "index")
_MAX_CONFIG_BYTES = MIB


def shown_config(path: Path) -> str:
    """The sections of a git configuration that reading history needs; addresses and credentials are left out."""
    shown: list[str] = []
    is_shown = False
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file.read(_MAX_CONFIG_BYTES).splitlines(keepends=True):
            if line.lstrip().startswith("["):
                is_shown = _section(line) in _SHOWN_SECTIONS
            if is_shown:
                shown.append(line)
    return "".join(shown)


def _section(header: str) -> str:
    """The name of a section without its subsection, in lower case."""
    words = header.lstrip()[1:].replace("]", " ").replace('"', " ").split()
    return words[0].lower() if words else ""
