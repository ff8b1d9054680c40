"""The small types that several kinds of document share: ids of tickets, of git, of contents, of people."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints

from watchbill.layout import ITEM_ID, MANIFEST_ID, PRINCIPAL, TICKET_ID

TicketId = Annotated[str, StringConstraints(pattern=f"^{TICKET_ID.pattern}$")]
ItemId = Annotated[str, StringConstraints(pattern=f"^{ITEM_ID.pattern}$")]
ManifestId = Annotated[str, StringConstraints(pattern=f"^{MANIFEST_ID.pattern}$")]
GitId = Annotated[str, StringConstraints(pattern=r"^(?:[0-9a-f]{40}|[0-9a-f]{64})$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Principal = Annotated[str, StringConstraints(pattern=f"^{PRINCIPAL.pattern}$")]
Nonce = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
