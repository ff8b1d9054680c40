"""Facts about the template which `init` copies: the READMEs, the agents' files, the playbook."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from watchbill.documents.handoff import Handoff
from watchbill.documents.inbox_item import InboxItem
from watchbill.documents.manifest import Manifest
from watchbill.documents.session import SessionRecord
from watchbill.documents.ticket import Ticket
from watchbill.files import front_matter
from watchbill.files.document import Document
from watchbill.layout import AGENTS, DATA_FOLDERS

TEMPLATE = Path(__file__).parents[1]
CLAUDE_CODE_TOOLS = {"Bash", "Read", "Write", "Edit", "Glob", "Grep"}
CLAUDE_CODE_KEYS = {"name", "description", "tools", "model", "maxTurns"}


def agent_file(agent: str) -> tuple[dict[str, Any], str]:
    return front_matter.split((TEMPLATE / "agents" / f"{agent}.md").read_bytes())


def tools_of(agent: str) -> set[str]:
    return {name.strip() for name in agent_file(agent)[0]["tools"].split(",")}


def example(folder: str, language: str) -> bytes:
    text = (TEMPLATE / folder / "README.md").read_text("utf-8")
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1, f"{folder}/README.md shows one example in {language}"
    return str(blocks[0]).encode()


@pytest.mark.parametrize("folder", DATA_FOLDERS)
def test_every_data_folder_says_who_writes_there_and_who_may_not(folder: str) -> None:
    text = (TEMPLATE / folder / "README.md").read_text("utf-8")
    assert text.startswith(f"# {folder}: ")
    assert "**Who writes here:**" in text
    assert "**Who may not:**" in " ".join(text.split())


@pytest.mark.parametrize("agent", AGENTS)
def test_an_agents_file_is_in_the_claude_code_subagent_format(agent: str) -> None:
    meta, prompt = agent_file(agent)
    assert set(meta) == CLAUDE_CODE_KEYS
    assert meta["name"] == agent
    assert meta["description"]
    assert meta["model"] == "inherit"
    assert type(meta["maxTurns"]) is int
    assert tools_of(agent) <= CLAUDE_CODE_TOOLS
    assert prompt.startswith("You are the ")


def test_only_build_can_change_files() -> None:
    assert {agent for agent in AGENTS if tools_of(agent) & {"Write", "Edit"}} == {"build"}


@pytest.mark.parametrize("agent", AGENTS)
def test_the_playbook_knows_each_agent_and_what_it_hands_over(agent: str) -> None:
    playbook = (TEMPLATE / "playbook" / "PLAYBOOK.md").read_text("utf-8")
    assert f"| {agent} (agent) |" in playbook
    assert "submit_handoff" in playbook
    assert "prompt-injection" in playbook


def test_the_playbook_tells_the_routing_as_it_is_delivered() -> None:
    playbook = (TEMPLATE / "playbook" / "PLAYBOOK.md").read_text("utf-8")
    routing = tomllib.loads((TEMPLATE / "playbook" / "routing.toml").read_text("utf-8"))
    told = {
        severity: destination
        for words, destination in re.findall(
            r"^ +\| ((?:critical|medium|info).*?) \| .*?(inbox|build|noted)", playbook, re.M
        )
        for severity in re.findall(r"critical|high|medium|low|info", words)
    }
    assert told == {s: {"human": "inbox", "note": "noted"}.get(d, d) for s, d in routing["severity"].items()}
    assert f"below {routing['confidence']['ask_below']}" in playbook


@pytest.mark.parametrize("agent", AGENTS)
def test_an_agents_prompt_shows_a_handoff_with_every_part(agent: str) -> None:
    _, prompt = agent_file(agent)
    shown = re.findall(r"^```\n(outcome: .*?)^```$", prompt, re.MULTILINE | re.DOTALL)
    assert len(shown) == 1
    parts = set(re.findall(r"^([a-z_]+):", shown[0], re.MULTILINE))
    everybody = {"outcome", "summary", "open_questions", "next", "confidence", "findings", "requests"}
    assert parts == everybody | ({"criteria"} if agent == "qa" else set())


def test_the_example_of_a_ticket_has_every_documented_key() -> None:
    data = example("tickets", "markdown")
    meta = yaml.safe_load(data.decode().split("---\n")[1])
    assert set(meta) == {
        "id",
        "title",
        "type",
        "priority",
        "status",
        "dependencies",
        "labels",
        "created_date",
    }
    assert len(Ticket.parse(data, Path("README.md")).criteria) == 2


@pytest.mark.parametrize(("folder", "kind"), [("handoffs", Handoff), ("inbox", InboxItem), ("sessions", SessionRecord)])
def test_the_example_in_a_folders_readme_is_a_valid_document(folder: str, kind: type[Document]) -> None:
    kind.parse(example(folder, "markdown"), Path(folder, "README.md"))


def test_the_example_of_a_manifest_is_valid(tmp_path: Path) -> None:
    path = tmp_path / "build-0007.json"
    path.write_bytes(example("manifests", "json"))
    assert Manifest.load(path).entries[0].ticket == "T-0012"


def test_the_readme_of_the_inbox_explains_every_answer() -> None:
    text = (TEMPLATE / "inbox" / "README.md").read_text("utf-8")
    assert all(f"| `{word}` |" in text for word in ("approve", "dismiss", "reject", "escalate"))
