"""The blinding audit: plays a rater against the running application and judges what came back.

It enters as a rater of its own, which counts neither in the design nor in the results, over HTTP
and in Chromium; collects every address, header, cookie, body, storage and drawn page; and fails
where an arm, a model, a seed, a hash, a file name or a prompt before its time can be found, or
where the pictures of the arms differ in anything but their pixels. The report is kept with the
study.
"""

import dataclasses
import datetime
import functools
import hashlib
import importlib.util
import pathlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy import select

from rating.audit.browser_player import ChromiumRater
from rating.audit.pictures import ArmFacts, compare_arms, facts_of_arms
from rating.audit.player import HttpRater
from rating.audit.search import Finding, find_keys, find_prompts, find_terms
from rating.audit.secret_terms import prompts_of, secret_terms
from rating.audit.trace import Trace
from rating.errors import StudyStateError
from rating.storage.database import Database, lock_study
from rating.storage.events import record_event
from rating.storage.models import (
    Arm,
    Assignment,
    AssignmentSlot,
    AuditReport,
    Item,
    Prompt,
    Stimulus,
    Study,
)
from rating.study.conduct import invite_auditor
from rating.study.lookup import claim_study, current_protocol, find_study

MOST_FINDINGS: Final = 200  # of a report; more of them say nothing new
_SHOWN: Final = 12


@dataclasses.dataclass(frozen=True, slots=True)
class Audit:
    """What an audit found.

    Args:
        study_code: Of the study.
        at:         When it ended.
        findings:   Everything that unblinds; empty when it passed.
        clients:    What played: "http", "chromium".
        received:   Numbers of answers by client.
        arms:       What was received for each arm: sizes, bytes, times; reported, not judged.
    """

    study_code: str
    at: datetime.datetime
    findings: tuple[Finding, ...]
    clients: tuple[str, ...]
    received: dict[str, int]
    arms: dict[str, dict[str, Any]]

    @property
    def is_passed(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "at": self.at.isoformat(),
            "is_passed": self.is_passed,
            "clients": list(self.clients),
            "received": self.received,
            "arms": self.arms,
            "finding_count": len(self.findings),
            "findings": [dataclasses.asdict(f) for f in self.findings[:MOST_FINDINGS]],
        }

    def text(self) -> str:
        """Return the report for people to read."""
        played, answers = " and ".join(self.clients), sum(self.received.values())
        verdict = "passed" if self.is_passed else "FAILED"
        lines = [
            f"Blinding audit of study {self.study_code}: {verdict}",
            f"Played over {played}; {answers:,} answers of the server were searched.",
        ]
        for finding in self.findings[:_SHOWN]:
            lines.append(f"  {finding.where}: {finding.message}")
        if (more := len(self.findings) - _SHOWN) > 0:
            lines.append(f"  and {more} more, in the report kept with the study")
        lines.append(f"{'arm':<28}{'answers':>8}{'size':>12}{'median bytes':>14}{'median ms':>11}")
        for arm, facts in sorted(self.arms.items()):
            size = ", ".join(facts["sizes_px"])
            lines.append(
                f"{arm[:27]:<28}{facts['answers']:>8}{size:>12}"
                f"{facts['median_bytes'] or 0:>14,.0f}{facts['median_ms'] or 0:>11.1f}"
            )
        lines.append("Numbers of bytes hang on what a picture shows; they are told, not judged.")
        return "\n".join(lines)


def audit_blinding(
    database: Database, study_code: str, base_url: str, *, chromium: str = ""
) -> Audit:
    """Play a rater against the application at `base_url`, keep the report and return it.

    Args:
        database:   The one that the application uses.
        study_code: An open study that is not paused.
        base_url:   Of the running application, for example "http://127.0.0.1:7860".
        chromium:   Path of a Chromium; empty: play over HTTP only.

    Raises:
        StudyNotFoundError: no such study.
        StudyStateError: the study is not open, or is paused.
        RatingError: the application cannot be reached or does not let a rater in.
    """
    with database.read() as session:
        study = find_study(session, study_code)
        if study.status != "open" or study.is_paused:
            state = "paused" if study.is_paused else study.status
            raise StudyStateError(f"The study {study_code} is {state}; an audit needs it open.")
    trace = Trace()
    prompt_of = functools.cache(functools.partial(_prompt_of, database))
    players: list[Callable[[str], HttpRater | ChromiumRater]] = [
        lambda token: HttpRater(base_url, token, prompt_of, trace)
    ]
    if chromium:
        players.append(lambda token: ChromiumRater(base_url, token, prompt_of, trace, chromium))
    for make_player in players:
        with database.write() as session:
            token = invite_auditor(session, claim_study(session, study_code, "open"))
        make_player(token).play()
    audit = _judge(database, study_code, trace, ("http", "chromium")[: len(players)])
    _keep(database, audit)
    return audit


def _judge(
    database: Database, study_code: str, trace: Trace, clients: Sequence[str]
) -> Audit:
    with database.read() as session:
        study = find_study(session, study_code)
        protocol = current_protocol(session, study)
        terms, prompts = secret_terms(session, study, protocol), prompts_of(session, study)
        arm_of = _arm_of_address(session, study)
    known = known_files()
    facts, findings = facts_of_arms(trace.exchanges, arm_of)
    findings += compare_arms(facts)
    findings += find_terms(trace, terms, known)
    findings += find_prompts(trace, prompts, protocol.canonical(), known)
    findings += find_keys(trace)
    findings += _missing(facts, arm_of)
    return Audit(
        study_code=study_code,
        at=datetime.datetime.now(datetime.UTC),
        findings=tuple(dict.fromkeys(findings)),
        clients=tuple(clients),
        received=dict(Counter(exchange.client for exchange in trace.exchanges)),
        arms={arm: arm_facts.summary() for arm, arm_facts in facts.items()},
    )


def _missing(facts: dict[str, ArmFacts], arm_of: dict[str, str]) -> list[Finding]:
    """Return a finding for each arm of which no picture came: nothing was judged there."""
    return [
        Finding("picture", "all pictures", f"no picture of the arm {arm!r} was received")
        for arm in sorted(set(arm_of.values()) - set(facts))
    ]


def _keep(database: Database, audit: Audit) -> None:
    with database.write() as session:
        study = lock_study(session, find_study(session, audit.study_code).id)
        session.add(
            AuditReport(
                study_id=study.id, at=audit.at, is_passed=audit.is_passed, report=audit.to_dict()
            )
        )
        details = {"is_passed": audit.is_passed, "finding_count": len(audit.findings)}
        record_event(session, study, "blinding_audited", "audit", details)


def _prompt_of(database: Database, item_token: str) -> str:
    """Return the code of the prompt of an item that the auditor was assigned."""
    with database.read() as session:
        return session.execute(
            select(Prompt.code)
            .join(Item, Item.prompt_id == Prompt.id)
            .join(Assignment, Assignment.item_id == Item.id)
            .where(Assignment.token == item_token)
        ).scalar_one()


def _arm_of_address(session: Any, study: Study) -> dict[str, str]:
    """Return the arm behind each address of a picture; no answer is joined with it."""
    rows = session.execute(
        select(AssignmentSlot.token, Arm.code)
        .join(Stimulus, Stimulus.id == AssignmentSlot.stimulus_id)
        .join(Arm, Arm.id == Stimulus.arm_id)
        .where(AssignmentSlot.study_id == study.id)
    )
    return {f"/rate/image/{token}.png": arm for token, arm in rows}


@functools.cache
def known_files() -> frozenset[str]:
    """Return the SHA-256 of the files that gradio serves in every installation."""
    found = importlib.util.find_spec("gradio")
    if found is None or found.origin is None:
        return frozenset()
    folder = pathlib.Path(found.origin).parent / "templates"
    kinds = {".js", ".css", ".svg", ".png", ".woff", ".woff2", ".ico"}
    return frozenset(
        hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.suffix in kinds and path.is_file()
    )
