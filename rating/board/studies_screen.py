"""The list of studies, with the two ways to begin one: a draft, or a quick study."""

import hashlib
from collections.abc import Sequence
from typing import Any, Final

from data.study_inbox import InboxEntry
from rating.board.links import draw_links
from rating.board.panel import render
from rating.board.server_paths import server_path
from rating.board.view import Act, Asked, Message, Outcome, Region, View, Workplace, note
from rating.coordinator_routes import inbox_url
from rating.counting import counted
from rating.errors import StimulusError
from rating.study.sources import Intake, folder_intake, from_inbox, zip_intake
from rating.study.summaries import StudySummary

# Short words under a picture; `rating.study.offered` has them in full.
RULE_WORDS: Final = {
    "first_seed": "first seed",
    "random": "drawn at random",
    "all": "all candidates",
    "all_of_comparison": "whole comparison",
    "hand_picked": "hand-picked",
    "unstated": "selection not stated",
}


class StudiesScreen:
    """All studies, what waits in the inbox, and the forms that begin a study."""

    def __init__(self, place: Workplace) -> None:
        """Work in `place`."""
        self._place = place
        self.acts: dict[str, Act] = {
            "create": self._create,
            "quick": self._quick,
            "inbox_remove": self._remove_from_inbox,
            "seen": self._seen,
        }

    def draw(self, view: View) -> dict[Region, str]:
        """Return the regions of the screen."""
        studies, waiting = self._place.studies.overview(), inbox_views(self._place)
        return {
            "main": render(
                "studies.html",
                studies=[_study_values(each) for each in studies],
                is_lasting=self._place.is_lasting,
            ),
            "extra": render("begin.html", waiting=waiting, is_lasting=self._place.is_lasting),
        }

    def seal(self) -> str:
        """Return what tells whether the list would be drawn differently now."""
        studies, waiting = self._place.studies.overview(), self._place.inbox.entries()
        told = repr((studies, [entry.id for entry in waiting]))
        return hashlib.sha256(told.encode()).hexdigest()[:16]

    def _seen(self, view: View, asked: Asked) -> Outcome:
        seal = self.seal()
        if seal == view.seal:
            return Outcome(view)
        return Outcome(View(seal=seal), None, self.draw(view))

    def _create(self, view: View, asked: Asked) -> Outcome:
        kind = asked.text("kind") or "main"
        code = self._place.studies.create(asked.text("title"), kind=kind)
        return Outcome(View("images", code), note(f"Study {code} is a draft."))

    def _quick(self, view: View, asked: Asked) -> Outcome:
        intake = self._quick_images(asked)
        raters = asked.needed("raters", "The number of raters")
        title = asked.text("title") or None
        code, invitations = self._place.studies.quick(intake.images, title, raters)
        said = note(
            f"Study {code} is open, a pilot with {counted(len(intake.images), 'image')} and the "
            f"default protocol. {'Its link is' if len(invitations) == 1 else 'Its links are'} "
            "below.",
            intake.notes,
        )
        return Outcome(View("watch", code), said, {"links": draw_links(invitations)})

    def _quick_images(self, asked: Asked) -> Intake:
        source = asked.text("source")
        if source == "folder":
            return folder_intake(server_path(self._place, asked.text("folder"), "The folder"))
        if source == "zip":
            return uploaded_zip(self._place, asked)
        if not (ids := asked.ids()):
            raise StimulusError(
                "No image is ticked. Tick images that wait in the inbox; the Generate tab sends "
                "them there with Send to study."
            )
        return Intake(tuple(from_inbox(self._place.inbox, ids)))

    def _remove_from_inbox(self, view: View, asked: Asked) -> Outcome:
        removed = remove_from_inbox(self._place, asked.ids())
        return Outcome(View(seal=self.seal()), removed, self.draw(view))


def uploaded_zip(
    place: Workplace, asked: Asked, *, is_real: bool = False, role: str = "main"
) -> Intake:
    """Return the images of a ZIP that was uploaded; the upload is removed in any case."""
    if not asked.text("zip"):
        raise StimulusError("Choose a ZIP file first.")
    path = place.uploaded(asked.text("zip"))
    try:
        return zip_intake(path, is_real=is_real, role=role)
    finally:
        path.unlink(missing_ok=True)


def remove_from_inbox(place: Workplace, ids: Sequence[str]) -> Message:
    """Remove ticked images from the inbox and return what to say."""
    if not ids:
        raise StimulusError("No image is ticked; tick those to remove from the inbox.")
    count = sum(place.inbox.remove(each) for each in ids)
    return note(f"{counted(count, 'image')} removed from the inbox. Studies keep what they have.")


def inbox_views(place: Workplace) -> list[dict[str, Any]]:
    """Return what to show of the images that wait in the inbox: the newest prompt first."""
    entries = place.inbox.entries()
    newest: dict[str, str] = {}
    for entry in entries:
        newest[entry.provenance.prompt] = max(
            entry.sent_at, newest.get(entry.provenance.prompt, "")
        )
    by_arm = sorted(entries, key=lambda entry: entry.provenance.model_id)
    by_prompt = sorted(by_arm, key=lambda entry: entry.provenance.prompt)
    by_prompt.sort(key=lambda entry: newest[entry.provenance.prompt], reverse=True)
    return [_inbox_values(entry) for entry in by_prompt]


def _inbox_values(entry: InboxEntry) -> dict[str, Any]:
    rule = RULE_WORDS.get(entry.selection_rule, entry.selection_rule)
    return {
        "id": entry.id,
        "url": inbox_url(entry.id),
        "arm": entry.provenance.model_label or entry.provenance.model_id,
        "prompt": entry.provenance.prompt,
        "rule": f"{rule}, 1 of {entry.candidate_count}" if entry.candidate_count > 1 else rule,
    }


def _study_values(study: StudySummary) -> dict[str, Any]:
    state = "paused" if study.is_paused and study.status == "open" else study.status
    percent = 100 * study.answers_done // study.answers_expected if study.answers_expected else 0
    return {
        "code": study.code,
        "title": study.title,
        "kind": study.kind,
        "state": state,
        "raters": study.raters,
        "done": study.answers_done,
        "expected": study.answers_expected,
        "percent": percent,
        "created_at": study.created_at,
    }
