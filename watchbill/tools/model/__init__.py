"""The model: a conversation with it, and the tools it may call.

Owns the SDK: everything that knows the `anthropic` package is in this folder, and imports it late, because that
costs more than two seconds. Never decides how many turns there are or what an answer means.
"""

from watchbill.tools.model.contract import Answer, ModelTrouble, Reply, Tool, ToolRefused, Usage

__all__ = ["Answer", "ModelTrouble", "Reply", "Tool", "ToolRefused", "Usage"]
