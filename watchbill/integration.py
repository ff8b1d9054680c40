"""The integration branch: where approved work is merged.

Owns its making, and that it follows the owner's base branch while nothing but the owner's own commits separate them.
"""

from __future__ import annotations

from watchbill.errors import Misconfigured
from watchbill.tools.git import Repository
from watchbill.workspace import Workspace


def integration_head(workspace: Workspace, repo: Repository) -> str:
    """The commit of the integration branch, which is made at the base when there is none yet.

    When the base holds everything that was merged and more, the branch is moved up to it. Raises `Misconfigured` when
    the base does not exist.
    """
    project = workspace.settings.project
    base = base_head(workspace, repo)
    head = repo.head_of(project.integration)
    if head is None:
        repo.create_branch(project.integration, base)
        repo.make_durable()
        return base
    if head != base and repo.is_ancestor(head, base) and repo.checked_out_at(project.integration) is None:
        repo.move_branch(project.integration, base, head)
        repo.make_durable()
        return base
    return head


def base_head(workspace: Workspace, repo: Repository) -> str:
    """The commit of the base branch. Raises `Misconfigured`."""
    name = workspace.settings.project.base
    base = repo.head_of(name)
    if base is None:
        known = ", ".join(repo.branches()[:8]) or "none"
        hint = f"Set [project] base in {workspace.layout.settings}. Branches there: {known}."
        raise Misconfigured(f"the repository {repo.root} has no branch {name!r}", hint)
    return base
