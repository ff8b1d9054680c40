"""Setting signatures up: the key is fit and tried, the files say who may sign, and the settings keep their comments."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest

from tests.signatures import HardwareKey, Person, forge, person
from tests.stages.waiting_workspace import NOW, SETTINGS, ask_something, make_workspace
from tests.tools.test_signing import asks_with
from watchbill.documents.settings import Settings
from watchbill.errors import Misconfigured, Refused
from watchbill.gate import holds
from watchbill.hand_over import step_of
from watchbill.signer import signing_of
from watchbill.stages.decide import decide
from watchbill.stages.gate_setup import Choice, allow, describe, known_as, set_up
from watchbill.stages.init.settings_text import settings_text
from watchbill.tools import signing
from watchbill.workspace import Workspace

PASSPHRASE = "correct horse"


@pytest.fixture
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Person:
    """A key with a passphrase, and somebody who knows it."""
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    asks_with(tmp_path, monkeypatch, PASSPHRASE)
    return person(tmp_path, "ada", passphrase=PASSPHRASE)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace with the settings that `init` writes."""
    made = make_workspace(tmp_path / "w")
    text = settings_text(Settings.model_validate({"project": {"name": "small", "repo": "repo"}}), NOW)
    made.layout.settings.write_text(text, "utf-8")
    return made


def chosen(key: Path | None = None, **more: object) -> Choice:
    values = {"key": key, "new": None, "hardware": False, "principal": "ada", "unprotected": False, **more}
    return Choice(**values)  # type: ignore[arg-type]


def again(workspace: Workspace) -> Workspace:
    return Workspace(workspace.root)


def test_a_set_up_key_signs_what_counts(workspace: Workspace, locked: Person) -> None:
    lines = set_up(workspace, chosen(locked.key), NOW)
    assert lines[-1] == "gate: decisions are signed"
    opened = again(workspace)
    gate = opened.settings.gate
    assert (gate.require, gate.key, gate.unprotected_key) == ("signature", str(locked.key), False)
    item = ask_something(opened)
    how = signing_of(opened, None, None, "somebody", lambda _statement: None, lambda: NOW)
    assert how is not None
    assert how.principal == "ada", "the only name that the key has"
    decide(opened, item.stem, "approve", "go on", "somebody", NOW, how)
    assert (step_of(opened, opened.history("T-0001")).to, opened.history("T-0001").void) == (("build",), {})


def test_only_four_lines_of_the_settings_change(workspace: Workspace, locked: Person) -> None:
    before = workspace.layout.settings.read_text().splitlines()
    set_up(workspace, chosen(locked.key), NOW)
    after = workspace.layout.settings.read_text().splitlines()
    assert len(before) == len(after)
    changed = [new.partition(" ")[0] for old, new in zip(before, after, strict=True) if old != new]
    assert sorted(changed) == ["key", "repository", "require"]


@pytest.mark.parametrize("gate", ["", "[gate]\n", "[ gate ]  # mine\nrequire = 'folder' # for now\n\n[limits]\n"])
def test_settings_of_any_shape_are_changed_or_left(workspace: Workspace, locked: Person, gate: str) -> None:
    workspace.layout.settings.write_text(SETTINGS + gate, "utf-8")
    set_up(again(workspace), chosen(locked.key), NOW)
    assert again(workspace).settings.gate.require == "signature"


def test_settings_that_cannot_be_changed_by_machine_are_left_and_the_lines_are_said(
    workspace: Workspace, locked: Person
) -> None:
    text = 'gate = { approvals = 1 }\n[project]\nname = "small"\nrepo = "repo"\n'
    workspace.layout.settings.write_text(text, "utf-8")
    with pytest.raises(Refused) as caught:
        set_up(again(workspace), chosen(locked.key), NOW)
    assert 'require = "signature"' in caught.value.hint
    assert workspace.layout.settings.read_text() == text


def test_what_was_decided_before_goes_on_counting_and_nothing_later_does(workspace: Workspace, locked: Person) -> None:
    decide(workspace, ask_something(workspace).stem, "approve", "", "ada", NOW)
    lines = set_up(workspace, chosen(locked.key), NOW)
    assert lines[2].startswith("1 unsigned decision(s) from before count, as ")
    assert lines[3] == "  T-0001/0002: approve by ada"
    opened = again(workspace)
    assert step_of(opened, opened.history("T-0001")).to == ("build",)
    later = ask_something(opened, "T-0002")
    folder = again(workspace)
    folder.layout.settings.write_text(
        folder.layout.settings.read_text().replace('require = "signature"', 'require = "folder"')
    )
    decide(folder, later.stem, "approve", "", "ada", NOW)
    assert opened.history("T-0002").void == {2: "it is not signed"}


def by_folder(workspace: Workspace) -> Workspace:
    """The workspace after its owner let the folder decide again."""
    text = workspace.layout.settings.read_text()
    workspace.layout.settings.write_text(text.replace('require = "signature"', 'require = "folder"'))
    return again(workspace)


def test_a_further_set_up_accepts_no_unsigned_decision_that_is_not_named(workspace: Workspace, locked: Person) -> None:
    set_up(workspace, chosen(locked.key), NOW)
    item = ask_something(again(workspace)).stem
    how = signing_of(again(workspace), None, None, "ada", lambda _statement: None, lambda: NOW)
    decide(again(workspace), item, "approve", "go on", "ada", NOW, how)
    for ticket in ("T-0002", "T-0003"):
        decide(by_folder(workspace), ask_something(again(workspace), ticket).stem, "approve", "", "mallory", NOW)
    lines = set_up(by_folder(workspace), chosen(locked.key), NOW)
    assert lines[1:4] == [
        "2 unsigned decision(s) do NOT count, for signing was set up before:",
        "  T-0002/0002: approve by mallory",
        "  T-0003/0002: approve by mallory",
    ]
    assert "--accept-unsigned" in lines[4]
    assert not (workspace.root / "gate" / "accepted_unsigned").exists()
    assert again(workspace).history("T-0002").void == {2: "it is not signed"}
    with pytest.raises(Refused, match="no unsigned decision T-0001/0002"):
        set_up(again(workspace), chosen(locked.key, accepted=("T-0001/0002",)), NOW)
    lines = set_up(again(workspace), chosen(locked.key, accepted=("T-0002/0002",)), NOW)
    assert lines[2:5:2] == ["  T-0002/0002: approve by mallory", "  T-0003/0002: approve by mallory"]
    assert (again(workspace).history("T-0002").void, again(workspace).history("T-0003").void) == (
        {},
        {2: "it is not signed"},
    )
    (workspace.root / "gate" / "revoked_keys").write_text(f"{locked.public}\n")
    assert again(workspace).history("T-0001").void == {2: "the key of ada that signed it is revoked"}


@pytest.mark.parametrize("left", ["allowed_signers", "accepted_unsigned", "repository", "a signed decision"])
def test_any_trace_of_an_earlier_set_up_makes_it_a_further_one(workspace: Workspace, locked: Person, left: str) -> None:
    decide(workspace, ask_something(workspace, "T-0002").stem, "approve", "", "mallory", NOW)
    (workspace.root / "gate").mkdir()
    if left == "repository":
        text = workspace.layout.settings.read_text()
        workspace.layout.settings.write_text(text.replace('repository = ""', 'repository = "r"'))
    elif left == "a signed decision":
        decide(workspace, ask_something(workspace).stem, "approve", "", "ada", NOW)
        forge(workspace, "T-0001", 2, lambda found: found.update(nonce="0" * 32))
    else:
        (workspace.root / "gate" / left).write_text("")
    set_up(again(workspace), chosen(locked.key), NOW)
    assert again(workspace).history("T-0002").void == {2: "it is not signed"}


def test_a_second_set_up_keeps_the_id_and_the_line(workspace: Workspace, locked: Person) -> None:
    set_up(workspace, chosen(locked.key), NOW)
    first = again(workspace).settings.gate.repository
    set_up(again(workspace), chosen(locked.key), NOW)
    assert again(workspace).settings.gate.repository == first
    assert len(describe(again(workspace), NOW).signers) == 1


# Keys that would sign without anybody noticing.


def test_a_key_without_a_passphrase_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    bare = person(tmp_path, "bare")
    with pytest.raises(Refused, match="has no passphrase"):
        set_up(workspace, chosen(bare.key), NOW)
    assert again(workspace).settings.gate.require == "folder"
    assert not (workspace.root / "gate").exists()


def test_a_key_without_a_passphrase_makes_the_gate_advisory(workspace: Workspace, tmp_path: Path) -> None:
    bare = person(tmp_path, "bare")
    lines = set_up(workspace, chosen(bare.key, unprotected=True), NOW)
    assert "ADVISORY only: a key without a passphrase" in lines[-1]
    assert "ADVISORY" in words(workspace)


def words(workspace: Workspace) -> str:
    return holds(again(workspace).settings, workspace.root, NOW).words


def test_a_key_without_a_passphrase_keeps_the_gate_advisory_as_long_as_it_may_sign(
    workspace: Workspace, locked: Person, tmp_path: Path
) -> None:
    bare, advisory = person(tmp_path, "bare"), "ADVISORY only: a key without a passphrase (that of bare) signs"
    set_up(workspace, chosen(bare.key, principal="bare", unprotected=True), NOW)
    (workspace.root / "gate" / "unprotected_keys").unlink()
    lines = set_up(again(workspace), chosen(locked.key), NOW)
    assert advisory in lines[-1], "the settings said that the key before had none"
    assert not again(workspace).settings.gate.unprotected_key, "the key that signs now is held to its passphrase"
    assert advisory in words(workspace)
    signers, revoked = workspace.root / "gate" / "allowed_signers", workspace.root / "gate" / "revoked_keys"
    both, none = signers.read_text(), revoked.read_text()
    for text in (f"ada {locked.public}\n", both.replace("bare namespaces", 'bare valid-before="20261101",namespaces')):
        signers.write_text(text)
        assert words(workspace) == "gate: decisions are signed"
    signers.write_text(both)
    revoked.write_text(f"{none}{bare.public}\n")
    assert words(workspace) == "gate: decisions are signed"
    revoked.write_text(none)
    assert advisory in words(workspace)
    change = ["ssh-keygen", "-q", "-p", "-P", "", "-N", PASSPHRASE, "-f", str(bare.key)]
    subprocess.run(change, check=True, capture_output=True)
    lines = set_up(again(workspace), chosen(bare.key, principal="bare"), NOW)
    assert lines[-1] == words(workspace) == "gate: decisions are signed", "it has a passphrase now"


def test_a_key_that_lies_in_an_agent_is_refused(
    workspace: Workspace, locked: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing, "is_in_agent", lambda key: key.path == locked.key)
    with pytest.raises(Refused, match="lies unlocked in the ssh agent"):
        set_up(workspace, chosen(locked.key), NOW)


def test_a_key_that_came_into_an_agent_later_signs_nothing(
    workspace: Workspace, locked: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up(workspace, chosen(locked.key), NOW)
    monkeypatch.setattr(signing, "is_in_agent", lambda _key: True)
    with pytest.raises(Refused, match="lies unlocked"):
        signing_of(again(workspace), None, None, "ada", lambda _statement: None, lambda: NOW)


# New keys, and other people's.


def test_a_new_key_has_a_passphrase(workspace: Workspace, locked: Person, tmp_path: Path) -> None:
    path = tmp_path / "new" / "decisions"
    set_up(workspace, chosen(new=path), NOW)
    assert not signing.is_unprotected(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(Refused, match="exists already"):
        set_up(again(workspace), chosen(new=path), NOW)
    assert locked.key != path


def test_a_new_key_with_an_empty_passphrase_is_refused(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asks_with(tmp_path, monkeypatch, "")
    with pytest.raises(Refused, match="has no passphrase"):
        set_up(workspace, chosen(new=tmp_path / "decisions"), NOW)
    assert list(tmp_path.glob("decisions*")) == [], "the next try finds the place free"


def test_what_a_person_is_asked_for_is_said_before(workspace: Workspace, locked: Person, tmp_path: Path) -> None:
    told: list[str] = []
    path = tmp_path / "decisions"
    set_up(workspace, chosen(new=path), NOW, told.append)
    assert told == [
        f"a new key at {path}; ssh-keygen asks for its passphrase, twice; without one it is refused",
        f"to try {path}, ssh-keygen asks for its passphrase",
    ]
    opened = again(workspace)
    how = signing_of(opened, None, None, "ada", lambda _: None, lambda: NOW, told.append)
    decide(opened, ask_something(opened).stem, "approve", "", "ada", NOW, how)
    assert told[2:] == [f"to sign it with {path}, ssh-keygen asks for its passphrase"]
    assert locked.key != path


def test_a_key_keeps_its_name_and_another_is_refused_before_the_passphrase(
    workspace: Workspace, locked: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert known_as(workspace, locked.key, "root") == ""
    set_up(workspace, chosen(locked.key), NOW)
    assert known_as(again(workspace), locked.key, "root") == "ada"
    asks_with(tmp_path, monkeypatch, "nobody is asked")
    with pytest.raises(Refused, match="signs as ada already, so not as root") as caught:
        set_up(again(workspace), chosen(locked.key, principal="root"), NOW)
    assert "Use it as ada" in caught.value.hint
    (workspace.root / "gate" / "allowed_signers").write_text(f"ada,eve {locked.public}\n")
    assert known_as(again(workspace), locked.key, "eve") == "eve"
    with pytest.raises(Refused, match="may sign as ada or eve"):
        known_as(again(workspace), locked.key, "root")


def test_choices_that_contradict_each_other_are_refused(workspace: Workspace, locked: Person, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="only one can be meant"):
        set_up(workspace, chosen(locked.key, new=tmp_path / "new"), NOW)
    with pytest.raises(Refused, match="--hardware makes a new key"):
        set_up(workspace, chosen(locked.key, hardware=True), NOW)
    with pytest.raises(Misconfigured, match="the public part of a key") as caught:
        set_up(workspace, chosen(Path(f"{locked.key}.pub")), NOW)
    assert caught.value.hint.endswith(str(locked.key))
    with pytest.raises(Refused) as refusal:
        allow(workspace, "a b", Path(f"{locked.key}.pub"))
    assert "--as" not in refusal.value.hint
    assert not (workspace.root / "gate").exists()


def test_somebody_else_may_sign_too(workspace: Workspace, locked: Person, tmp_path: Path) -> None:
    set_up(workspace, chosen(locked.key), NOW)
    grace = person(tmp_path, "grace")
    opened = again(workspace)
    assert allow(opened, "grace", tmp_path / "grace.pub") == "grace may sign decisions"
    assert allow(opened, "grace", tmp_path / "grace.pub") == "grace could sign already"
    with pytest.raises(Refused, match="signs as grace already"):
        allow(opened, "eve", tmp_path / "grace.pub")
    with pytest.raises(Refused, match="not a name"):
        allow(opened, "* eve", tmp_path / "grace.pub")
    assert [line.split()[0] for line in describe(opened, NOW).signers] == ["ada", "grace"]
    assert grace.public in describe(opened, NOW).signers[1]


def test_the_gate_shows_who_cannot_sign_and_why(workspace: Workspace, locked: Person, tmp_path: Path) -> None:
    set_up(workspace, chosen(locked.key), NOW)
    grace, retired = person(tmp_path, "grace"), person(tmp_path, "eve")
    signers, revoked = workspace.root / "gate" / "allowed_signers", workspace.root / "gate" / "revoked_keys"
    good = signers.read_text()
    late = f'eve valid-before="20261101" {retired.public}\n'
    signers.write_text(f"{good}grace {grace.public}\nmallory not-a-key AAAA\n{late}")
    revoked.write_text(f"{grace.public}\n")
    shown = describe(again(workspace), NOW)
    assert [line.split()[0] for line in shown.signers] == ["ada"]
    for number, why in ((3, "its key is revoked"), (4, "it holds no public key"), (5, "its valid-before has passed")):
        assert any(f"line {number} of allowed_signers lets nobody sign: {why}" in text for text in shown.troubles)
    assert len(shown.troubles) == 3
    assert shown.lines()[-1] == f"  ! {shown.troubles[-1]}"
    assert set_up(again(workspace), chosen(locked.key), NOW)[-2] == f"! {shown.troubles[-1]}"
    revoked.write_text("garbage\n")
    assert "revoked_keys cannot be read as a whole" in describe(again(workspace), NOW).troubles[0]
    revoked.write_text("")
    signers.write_text(f"grace {grace.public}\n")
    assert f"{locked.key}, which allowed_signers does not list" in describe(again(workspace), NOW).troubles[0]


def test_what_will_not_count_is_refused_before_the_passphrase(
    workspace: Workspace, locked: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up(workspace, chosen(locked.key), NOW)
    asks_with(tmp_path, monkeypatch, "nobody is asked")

    def refusal(by: str | None) -> str:
        with pytest.raises(Refused) as caught:
            signing_of(again(workspace), None, by, "ada", lambda _statement: None, lambda: NOW)
        return f"{caught.value.reason} {caught.value.hint}"

    assert "grace may not sign with" in refusal("grace")
    assert "Sign as ada" in refusal("grace")
    (workspace.root / "gate" / "allowed_signers").write_text(f'ada valid-before="20261101" {locked.public}\n')
    assert "ada cannot sign with" in refusal(None)
    (workspace.root / "gate" / "allowed_signers").write_text(f"*@example.org {locked.public}\n")
    how = signing_of(again(workspace), None, "ada@example.org", "ada", lambda _statement: None, lambda: NOW)
    assert how is not None
    assert how.principal == "ada@example.org"


def test_a_hardware_key_may_sign_too(workspace: Workspace, tmp_path: Path) -> None:
    token = tmp_path / "token.pub"
    token.write_text(f"{HardwareKey().public} a token\n")
    assert allow(workspace, "ada", token) == "ada may sign decisions"


def test_the_signers_do_not_lie_where_agents_work(workspace: Workspace, locked: Person) -> None:
    for place in (".watchbill/worktrees/gate", "repo/gate"):
        workspace.layout.settings.write_text(f'{SETTINGS}[gate]\nsigners = "{place}"\n', "utf-8")
        with pytest.raises(Refused, match="where agents work"):
            set_up(again(workspace), chosen(locked.key), NOW)


def test_a_key_that_nobody_named_is_asked_for(workspace: Workspace, locked: Person) -> None:
    with pytest.raises(Misconfigured, match="not known which key"):
        set_up(workspace, chosen(), NOW)
    set_up(workspace, chosen(locked.key), NOW)
    settings = workspace.layout.settings
    settings.write_text(settings.read_text().replace(str(locked.key), ""), "utf-8")
    with pytest.raises(Misconfigured, match="not known which key"):
        signing_of(again(workspace), None, None, "ada", lambda _statement: None, lambda: NOW)


def test_a_key_with_two_names_is_asked_which(workspace: Workspace, locked: Person) -> None:
    set_up(workspace, chosen(locked.key), NOW)
    signers = workspace.root / "gate" / "allowed_signers"
    signers.write_text(f"ada,ada@example.org {locked.public}\n", "utf-8")

    def name(by: str | None, user: str) -> str:
        how = signing_of(again(workspace), None, by, user, lambda _statement: None, lambda: NOW)
        assert how is not None
        return how.principal

    assert (name(None, "ada"), name("ada@example.org", "root")) == ("ada", "ada@example.org")
    with pytest.raises(Refused, match=r"may sign as ada or ada@example\.org"):
        name(None, "root")
    signers.write_text("# nobody\n", "utf-8")
    with pytest.raises(Refused, match="gives no name to the key"):
        name(None, "ada")
