"""What a human signs: one decision, and everything that it depends on, as canonical JSON.

Owns the fields and the bytes of the statement. It is never stored: whoever checks a signature makes it anew from what
they know themselves, so a word that was changed afterwards no longer fits.
"""

from __future__ import annotations

import json

from watchbill.documents.types import GitId, Principal, Sha256, TicketId
from watchbill.files.document import Moment, Strict

NAMESPACE = "watchbill-decision-v1"


class Statement(Strict):
    """One decision of one principal.

    `item` is the inbox item that is answered, or the ticket that is closed. `handoff` is the sha256 of the document
    with the finding, None where that document cannot be read. `base`, `commit` and `candidate` are the work that was
    under review. `words` is the reason that was given. From `issued` to `expires` the decision may be published.
    The nonce begins with the item's name, so one that counts once in its history counts once in the whole workspace.
    """

    decision: str
    item: str
    ticket: TicketId
    handoff: Sha256 | None
    repository: str
    base: GitId | None
    commit: GitId | None
    candidate: GitId | None
    nonce: str
    issued: Moment
    expires: Moment
    principal: Principal
    words: str
    escalated_to: str | None

    def canonical(self) -> bytes:
        """The bytes that are signed: keys in order, no spaces, nothing but ASCII."""
        values = {"namespace": NAMESPACE, **self.model_dump(mode="json")}
        return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")
