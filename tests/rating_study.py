"""A small open study with drawn pictures, which tests of raters, routes and screens start from."""

import dataclasses
import random
from collections.abc import Callable

from PIL import Image, ImageDraw

from rating.storage.database import Database
from rating.study.harmonisation import Harmonisation
from rating.study.offered import OfferedImage
from rating.study.protocol import AnalysisPlan, Protocol
from rating.study.studies import Studies

SIZE_PX = 64
TITLE = "Test study"
ARMS = ("msdm-small", "flux-small", "kandinsky-small", "diffusion-small", "other-small")
FINDINGS = ("polyp", "ulcer", "oesophagitis", "caecum", "pylorus", "haemorrhoids")
BASE_URL = "http://127.0.0.1:7860"


def draw(seed: int) -> Image.Image:
    """Returns a picture of 64 px, another one for every seed."""
    rng = random.Random(seed)
    ground = tuple(rng.randrange(90, 200) for _ in range(3))
    picture = Image.new("RGB", (SIZE_PX, SIZE_PX), ground)
    pen = ImageDraw.Draw(picture)
    for _ in range(12):
        x, y = rng.randrange(SIZE_PX), rng.randrange(SIZE_PX)
        shade = tuple(rng.randrange(256) for _ in range(3))
        pen.ellipse((x - 6, y - 5, x + 6, y + 5), fill=shade)
    return picture


def offered(
    seed: int, arm: str, prompt: str, *, role: str = "main", is_real: bool = False,
    expected: dict[str, list[int]] | None = None,
) -> OfferedImage:
    """Returns a drawn picture as a source would offer it."""

    def read() -> Image.Image:
        return draw(seed)

    reading: Callable[[], Image.Image] = read
    return OfferedImage(
        read=reading, arm=arm, is_real=is_real, prompt_id="", prompt=prompt, role=role,
        selection_rule="first_seed" if not is_real else "random", candidate_count=1,
        provenance={} if is_real else {"model_id": arm, "model_label": arm.title(), "seed": seed},
        source_name=f"{arm or role}-{seed}.png", expected=expected,
    )  # fmt: skip


def study_images(
    arms: int = 3, prompts: int = 6, reals: int = 6, practice: int = 3, checks: int = 0,
    practice_slots: int = 1,
) -> list[OfferedImage]:  # fmt: skip
    """Returns the pictures of a study: every prompt in every arm, and real ones of their own."""
    texts = [f"a {FINDINGS[index % 6]} in place {index}" for index in range(prompts)]
    images = [
        offered(1000 * (a + 1) + p, ARMS[a], text)
        for a in range(arms)
        for p, text in enumerate(texts)
    ]
    images += [
        offered(50_000 + index, "real", f"endoscopy of patient {index}", is_real=True)
        for index in range(reals)
    ]
    images += [
        offered(60_000 + 10 * index + slot, "", f"practice picture {index}", role="practice")
        for index in range(practice)
        for slot in range(practice_slots)
    ]
    images += [
        offered(
            70_000 + index, "", f"a grey square {index}", role="check", expected={"origin": [5, 6]}
        )
        for index in range(checks)
    ]
    return images


def plan(primary: str = "realism", reference: str = ARMS[0]) -> AnalysisPlan:
    """Returns an analysis plan that the drawn study can open with."""
    return AnalysisPlan(primary_question=primary, reference_arm=reference, holm_family=(primary,))


def write_draft(
    database: Database,
    arms: int = 3,
    prompts: int = 6,
    reals: int = 6,
    practice: int = 3,
    checks: int = 0,
    *,
    kind: str = "main",
    title: str = TITLE,
    seed: int = 20_250_505,
    **changes: object,
) -> str:
    """Returns the code of a draft that is ready to be opened; `changes` go into its protocol.

    Side by side there are neither real images nor checks.
    """
    display = changes.pop("display", "single")
    protocol = dataclasses.replace(
        Protocol.of(display),
        plan=plan("realism" if display == "single" else "preference"),
        washout_items=4,
        check_items=min(checks, 10) if display == "single" else 0,
    )
    studies = Studies(database)
    code = studies.create(
        title, kind=kind, protocol=dataclasses.replace(protocol, **changes), seed=seed
    )
    if display == "single":
        images = study_images(arms, prompts, reals, practice, checks)
    else:
        images = study_images(arms, prompts, 0, practice, 0, practice_slots=arms)
    studies.add_images(code, images, Harmonisation(size_px=SIZE_PX))
    studies.attest_identifiers(code, "A. Tester")
    return code


def write_study(database: Database, *arguments: int, **changes: object) -> str:
    """Returns the code of an open study; arguments as those of `write_draft`."""
    code = write_draft(database, *arguments, **changes)
    Studies(database).open(code)
    return code


def invite(database: Database, code: str, count: int = 1) -> list[tuple[str, str]]:
    """Returns the codes and link tokens of newly invited raters."""
    return [(each.rater_code, each.token) for each in Studies(database).invite(code, count)]


def enrol(database: Database, link: str) -> int:
    """Returns the id of the rater of a link, consented and enrolled."""
    from rating.study.desk import RatingDesk

    desk = RatingDesk(database, "0")
    rater_id = desk.rater_of_link(link)
    state = desk.state(rater_id)
    desk.consent(rater_id, state["consent"]["sha256"], True)
    desk.profile(rater_id, "Gastroenterology", 12)
    return rater_id
