"""What the engine finds out itself about a candidate: the checks on base and candidate, and what the scanners see.

Owns running them and keeping the base's result, which every ticket of a night shares. The comparison is
`rules/regressions`; no model has a part in any of this.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from watchbill import strict_json
from watchbill.documents.handoff import CheckRun, Finding, Verified
from watchbill.files.publish import replace, sha256
from watchbill.rules.regressions import Comparison, Run, compare
from watchbill.tools.checks import Checks, run_checks
from watchbill.tools.git import DiffStat, Repository
from watchbill.tools.redaction import redact
from watchbill.tools.sandbox import Sandbox
from watchbill.tools.scanners import Alert, fingerprint, scan
from watchbill.workspace import Workspace

LARGEST_FILE = 2_000_000
SHOWN_OUTPUT = 4_000


@dataclass(frozen=True)
class CheckEvidence:
    """The checks on both sides and what follows. `candidate` is None when there is no test command."""

    base_run: CheckRun | None
    candidate_run: CheckRun | None
    candidate: Checks | None
    comparison: Comparison


@dataclass(frozen=True)
class ScanEvidence:
    """What the scanners see in the candidate and not in the base."""

    alerts: tuple[Alert, ...]
    findings: tuple[Finding, ...]
    ran: tuple[str, ...]
    failed: tuple[str, ...]


@dataclass(frozen=True)
class Examiner:
    """Runs checks and scanners for one ticket."""

    workspace: Workspace
    repo: Repository
    sandbox: Sandbox
    say: Callable[[str], None]

    def checks(self, ticket: str, base: str, candidate: str, worktree: Path) -> CheckEvidence:
        """Run the checks on the base (or recall its result) and on the candidate, which lies in `worktree`."""
        if not self.workspace.settings.checks.test.strip():
            return CheckEvidence(None, None, None, compare(None, None))
        before = self._checks_of(base) or self._base_checks(ticket, base)
        self.say("running the checks on the candidate")
        after = self._run(candidate, worktree)
        comparison = compare(_for_comparison(before), _for_comparison(after))
        return CheckEvidence(_document(before, base), _document(after, candidate), after, comparison)

    def scans(self, base: str, candidate: str, stat: DiffStat) -> ScanEvidence:
        """Scan what the candidate changed."""
        self.say("running the scanners on what changed")
        new: dict[str, bytes] = {}
        old: dict[str, bytes] = {}
        for path in stat.files:
            content = self.repo.read_file(candidate, path, LARGEST_FILE)
            if content is None:
                continue
            new[path] = content
            before = self.repo.read_file(base, path, LARGEST_FILE)
            if before is not None:
                old[path] = before
        found = scan(new, old, sandbox=self.sandbox)
        failed = tuple(f"{name}: {why}" for name, why in sorted(found.failed.items()))
        links = self.repo.links(candidate, stat.files)
        astray = (_link_finding(path, target) for path, target in sorted(links.items()) if leads_out(path, target))
        findings = (*(_finding(alert) for alert in found.alerts), *astray)
        return ScanEvidence(found.alerts, findings, tuple(found.ran), failed)

    def _base_checks(self, ticket: str, base: str) -> Checks:
        self.say("running the checks on the base")
        tree = self.repo.detached_worktree(self.workspace.layout.worktree(f"{ticket}.base"), base)
        try:
            return self._run(base, tree.path)
        finally:
            self.repo.put_by(tree.path)

    def _run(self, commit: str, worktree: Path) -> Checks:
        settings = self.workspace.settings
        checks = settings.checks
        result = run_checks(
            self.sandbox, worktree, checks.setup, checks.test, checks.timeout_seconds, settings.sandbox.network
        )
        if result.ran:
            # Names of tests stay as they are, here and in what is compared: two must not become one.
            texts = {name: redact(words) for name, words in result.failures.items()}
            value = {**vars(result), "output": redact(result.output), "why": redact(result.why), "failures": texts}
            replace(self._kept(commit), json.dumps(value).encode())
        return result

    def _checks_of(self, commit: str) -> Checks | None:
        """What an earlier run of the same commands on the same commit gave: yesterday's candidate is today's base."""
        try:
            data = self._kept(commit).read_bytes()
            strict_json.check(data)
            return TypeAdapter(Checks).validate_json(data)
        except (OSError, ValueError):
            # Derived data: whatever is wrong with it, the checks are simply run again.
            return None

    def _kept(self, commit: str) -> Path:
        checks = self.workspace.settings.checks
        name = sha256("\0".join((commit, checks.setup, checks.test, self.sandbox.name)).encode())[:32]
        return self.workspace.layout.cache / "checks" / f"{name}.json"


MOST_FILES = 2_000


def verified_by(
    stat: DiffStat, sandbox: Sandbox | None, checks: CheckEvidence | None = None, scans: ScanEvidence | None = None
) -> Verified:
    """The verified part of a handoff. Without a sandbox, nothing was run."""
    return Verified(
        files=stat.files[:MOST_FILES],
        files_cut=len(stat.files) > MOST_FILES,
        insertions=stat.insertions,
        deletions=stat.deletions,
        base_checks=checks.base_run if checks else None,
        checks=checks.candidate_run if checks else None,
        regressions=checks.comparison.broken[:500] if checks else (),
        disappeared=checks.comparison.gone[:500] if checks else (),
        scanners=scans.ran if scans else (),
        scanners_failed=scans.failed if scans else (),
        sandbox=sandbox.name if sandbox else "",
    )


def scanner_trouble(scans: ScanEvidence) -> tuple[Finding, ...]:
    """A finding for every scanner that did not run: what was not looked at is not passed in silence."""
    return tuple(
        Finding(
            fingerprint=sha256(f"scanner\0{text}".encode())[:16],
            severity="medium",
            confidence=1.0,
            rule="checks-unavailable",
            title=f"A scanner did not run: {text}"[:300],
            source=text.split(":")[0][:60],
        )
        for text in scans.failed
    )


def _for_comparison(checks: Checks) -> Run:
    return Run(
        ran=checks.ran,
        exit_code=checks.exit_code,
        names=checks.junit,
        passed=checks.passed,
        failed=checks.failed,
        why=(checks.why + "\n" + _end_of(checks.output)).strip(),
        setup_failed=checks.why.startswith("The set-up"),
    )


def _end_of(output: str) -> str:
    """The end of an output. Redacted before it is cut: a half of a key has no shape by which it could be known."""
    return output if len(output) <= SHOWN_OUTPUT else redact(output)[-SHOWN_OUTPUT:]


def _document(checks: Checks, commit: str) -> CheckRun:
    return CheckRun(
        commit=commit,
        ran=checks.ran,
        exit_code=checks.exit_code,
        passed=len(checks.passed),
        failed=checks.failed[:500],
        skipped=len(checks.skipped),
        why=checks.why[:4_000],
    )


def leads_out(path: str, target: str) -> bool:
    """Whether a symbolic link at `path` points out of the repository, or at its `.git`."""
    if target.startswith("/"):
        return True
    place = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    return place == ".." or place.startswith("../") or place.split("/")[0].lower() == ".git"


def _link_finding(path: str, target: str) -> Finding:
    return Finding(
        fingerprint=sha256(f"links\0{path}\0{target}".encode())[:16],
        severity="high",
        confidence=1.0,
        rule="link-outside",
        title=f"A symbolic link leads out of the repository: {path}"[:300],
        path=path[:1_000],
        evidence=f"{path} -> {target}"[:4_000],
        rationale="Whoever follows it reads or writes a file that is not the project's.",
        source="links",
    )


def _finding(alert: Alert) -> Finding:
    return Finding.model_validate(
        {
            "fingerprint": fingerprint(alert),
            "severity": alert.severity,
            "confidence": alert.confidence,
            "rule": alert.rule[:120],
            "title": alert.title[:300],
            "path": alert.path[:1_000],
            "line": alert.line,
            "evidence": alert.evidence[:10_000],
            "source": alert.source,
        }
    )
