"""The images of a draft: where they come from, what all go through, and which there are."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final, cast

from rating.board.panel import render
from rating.board.server_paths import known_manifests, server_path
from rating.board.studies_screen import (
    RULE_WORDS,
    inbox_views,
    remove_from_inbox,
    uploaded_zip,
)
from rating.board.view import Act, Asked, Outcome, Region, View, Workplace, note
from rating.coordinator_routes import stimulus_url
from rating.counting import counted
from rating.errors import StimulusError
from rating.study.batch_source import Choice
from rating.study.harmonisation import Harmonisation
from rating.study.sources import (
    Intake,
    folder_intake,
    from_dataset,
    from_inbox,
    from_manifest,
)
from rating.study.summaries import StimulusView

# What images are of which nothing says it: whether they are real, and their role.
_PARTS: Final = {
    "table": (False, "main"),
    "real": (True, "main"),
    "practice": (False, "practice"),
    "check": (False, "check"),
}
_PAGE: Final = 60


class ImagesScreen:
    """Putting images into a draft and taking them out."""

    def __init__(self, place: Workplace) -> None:
        """Work in `place`."""
        self._place = place
        self._sources = {
            "inbox": self._of_inbox,
            "manifest": self._of_manifest,
            "zip": self._of_zip,
            "folder": self._of_folder,
            "dataset": self._of_dataset,
        }
        self.acts: dict[str, Act] = {
            **{f"add_{name}": self._adding(name) for name in self._sources},
            "inbox_remove": self._remove_from_inbox,
            "remove_images": self._remove_images,
            "more": self._more,
        }

    def draw(self, view: View) -> dict[Region, str]:
        """Return the regions of the screen."""
        return {"main": self._draw_sources(view.code), "extra": self._draw_images(view)}

    def _draw_sources(self, code: str) -> str:
        used = self._place.studies.harmonisation(code)
        return render(
            "sources.html",
            waiting=inbox_views(self._place),
            manifests=known_manifests(self._place.home),
            home=str(self._place.home),
            is_confined=self._place.is_confined,
            harmonisation=asdict(used or Harmonisation()),
            is_fixed=used is not None,
        )

    def _draw_images(self, view: View) -> str:
        views = self._place.studies.stimuli(view.code)
        return render(
            "images.html",
            groups=_groups(views),
            images=[_image_values(view.code, each) for each in views[: view.limit]],
            total=len(views),
            left=max(0, len(views) - view.limit),
        )

    def _adding(self, source: str) -> Act:
        def act(view: View, asked: Asked) -> Outcome:
            intake = self._sources[source](asked)
            settings = _harmonisation_of(asked, self._place.studies.harmonisation(view.code))
            added = self._place.studies.add_images(view.code, intake.images, settings)
            lines = [*intake.notes]
            if added.skipped:
                lines.append(
                    f"{counted(len(added.skipped), 'image')} skipped, in the study already: "
                    f"{', '.join(added.skipped[:5])}{' ...' if len(added.skipped) > 5 else ''}"
                )
            return Outcome(
                view, note(f"{counted(added.count, 'image')} added.", lines), self.draw(view)
            )

        return act

    def _of_inbox(self, asked: Asked) -> Intake:
        if not (ids := asked.ids()):
            raise StimulusError("No image is ticked; tick images of the inbox first.")
        return Intake(tuple(from_inbox(self._place.inbox, ids)))

    def _of_manifest(self, asked: Asked) -> Intake:
        path = server_path(self._place, asked.text("manifest"), "The manifest")
        rule = cast(Choice, asked.text("rule") or "first_seed")  # checked where it is used
        return Intake(tuple(from_manifest(path, rule=rule, seed=_seed(asked))))

    def _of_zip(self, asked: Asked) -> Intake:
        is_real, role = _part(asked)
        return uploaded_zip(self._place, asked, is_real=is_real, role=role)

    def _of_folder(self, asked: Asked) -> Intake:
        folder = server_path(self._place, asked.text("folder"), "The folder")
        is_real, role = _part(asked)
        csv = server_path(self._place, asked.text("csv"), "The CSV") if asked.text("csv") else None
        return folder_intake(folder, csv, is_real=is_real, role=role)

    def _of_dataset(self, asked: Asked) -> Intake:
        folder = server_path(self._place, asked.text("folder"), "The dataset")
        count = asked.needed("count", "The number of images")
        return Intake(
            tuple(from_dataset(folder, count, _seed(asked), asked.text("split") or None))
        )

    def _remove_from_inbox(self, view: View, asked: Asked) -> Outcome:
        removed = remove_from_inbox(self._place, asked.ids())
        return Outcome(view, removed, {"main": self._draw_sources(view.code)})

    def _remove_images(self, view: View, asked: Asked) -> Outcome:
        ids = [int(each) for each in asked.ids() if each.isdecimal()]
        if not ids:
            raise StimulusError("No image is ticked; tick those to take out of the study.")
        count = self._place.studies.remove_images(view.code, ids)
        return Outcome(view, note(f"{counted(count, 'image')} taken out."), self.draw(view))

    def _more(self, view: View, asked: Asked) -> Outcome:
        wider = View(view.screen, view.code, limit=view.limit + 4 * _PAGE)
        return Outcome(wider, None, {"extra": self._draw_images(wider)})


def _part(asked: Asked) -> tuple[bool, str]:
    return _PARTS.get(asked.text("part"), _PARTS["table"])


def _seed(asked: Asked) -> int:
    return asked.whole("seed", "The seed") or 0


def _harmonisation_of(asked: Asked, used: Harmonisation | None) -> Harmonisation:
    """Return what the form says; once there are images, what those went through."""
    if used is not None:
        return used
    values: dict[str, Any] = {
        name: asked.text(name)
        for name in ("crop", "resampling", "colour_mode")
        if asked.text(name)
    }
    values["size_px"] = asked.needed("size_px", "The side")
    values["jpeg_quality"] = asked.whole("jpeg_quality", "The JPEG quality")
    return Harmonisation(**values)


def _groups(views: Sequence[StimulusView]) -> list[dict[str, Any]]:
    """Return a line for each arm and role: how many images of how many prompts."""
    prompts: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    counts: Counter[tuple[str, str]] = Counter()
    for view in views:
        key = (view.role, view.arm_label or view.arm)
        counts[key] += 1
        prompts[key].add(view.prompt_code)
    return [
        {"role": role, "arm": arm, "count": count, "prompts": len(prompts[role, arm])}
        for (role, arm), count in sorted(counts.items(), key=lambda item: item[0][0] != "main")
    ]


def _image_values(code: str, view: StimulusView) -> dict[str, Any]:
    rule = RULE_WORDS.get(view.selection_rule, view.selection_rule)
    return {
        "id": view.id,
        "url": stimulus_url(code, view.id),
        "arm": view.arm_label or view.role,
        "prompt": view.prompt,
        "rule": f"{rule}, 1 of {view.candidate_count}" if view.candidate_count > 1 else rule,
        "source": view.source_name,
        "size": f"{view.width_px} x {view.height_px} {view.colour_mode}",
    }
