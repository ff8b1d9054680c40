"""How an agent reaches its model: the key, and the models in their order.

Owns where both are found. The key is never written anywhere.
"""

from __future__ import annotations

from watchbill.errors import Misconfigured
from watchbill.tools.model.conversation import Access
from watchbill.tools.model.keys import find_key
from watchbill.workspace import Workspace

# What may stand after `model:` in an agent's file without naming one: the first is ours, the others are Claude Code's.
NOT_A_MODEL = ("inherit", "", "default", "sonnet", "opus", "haiku")


class NoKey(Misconfigured):
    """There is no key for the model, and the agent can do nothing without one."""


def access_for(workspace: Workspace, agent: str) -> Access | None:
    """How the agent reaches its model, or None when there is no key and it can do without. Raises `NoKey`."""
    model = workspace.settings.model
    key = find_key(workspace.key_file, model.key_keyring)
    if key is None:
        if agent != "build":
            return None
        hint = "Set ANTHROPIC_API_KEY, or name a file only you can read in [model] key_file (or key_keyring)."
        raise NoKey("there is no API key, and nothing can be built without a model", hint)
    own = workspace.agent(agent).model
    models = (model.primary, *model.fallbacks)
    if own not in NOT_A_MODEL:
        models = (own, *(name for name in models if name != own))
    return Access(key, models, model.max_tokens, model.timeout_seconds)
