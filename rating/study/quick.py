"""The quick study: from pictures to a rater's link in one call, as a pilot with the defaults."""

import dataclasses
from collections.abc import Sequence

from sqlalchemy.orm import Session

from rating.study import conduct, drafts, opening
from rating.study.conduct import Invitation
from rating.study.harmonisation import Harmonisation
from rating.study.preparation import PreparedImage
from rating.study.protocol import Protocol

TITLE = "Quick study"


def open_pilot(
    session: Session,
    prepared: Sequence[PreparedImage],
    settings: Harmonisation,
    title: str | None,
    raters: int,
    actor: str,
) -> tuple[str, tuple[Invitation, ...]]:
    """Return the code and the invitations of a pilot opened with these pictures."""
    protocol = protocol_for(prepared)
    study = drafts.new_study(session, title or TITLE, "pilot", protocol, None, actor)
    drafts.add_prepared(session, study, prepared, settings, actor)
    drafts.attest_identifiers(study, actor)
    session.flush()
    opening.open_study(session, study, actor)
    return study.code, conduct.invite(session, study, raters, actor)


def protocol_for(prepared: Sequence[PreparedImage]) -> Protocol:
    """Return the default protocol, with less of what few pictures cannot bear.

    Repeats stay out where the washout distance does not fit between an item and its repeat; and
    several pictures of one prompt alone are compared side by side, since the same prompt is never
    shown twice in a row.
    """
    main = [image for image in prepared if image.offered.role == "main"]
    synthetic = [image for image in main if not image.offered.is_real]
    if len(main) > 1 and len({image.prompt_id for image in main}) == 1 and synthetic == main:
        return dataclasses.replace(Protocol.of("side_by_side"), repeat_share=0.0)
    protocol = Protocol()
    if len(main) < 2 * (protocol.washout_items + 1):
        protocol = dataclasses.replace(protocol, repeat_share=0.0)
    return protocol
