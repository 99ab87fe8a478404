"""Drawn stand-ins for endoscopy: coloured discs on black, and a dataset folder made of them."""

import csv
import random
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

ROWS = ("upper", "center", "lower")
COLUMNS = ("left", "center", "right")
VALIDATION_COUNT = 4


@dataclass(frozen=True, slots=True)
class Scene:
    """What one drawn picture shows.

    Attributes:
        index: Also the seed of its texture.
        is_colonoscopy: Pink ground, else the orange one of a gastroscopy.
        finding: "polyp", "ulcerative colitis", "oesophagitis" or "" for none.
        row: 0 above, 1 in the middle, 2 below: where a polyp is.
        column: 0 left, 1 in the middle, 2 right.
        has_box: A green box in the lower left corner.
        has_text: White writing at the upper edge.
        has_instrument: A grey bar from the lower edge.
    """

    index: int
    is_colonoscopy: bool
    finding: str
    row: int
    column: int
    has_box: bool
    has_text: bool
    has_instrument: bool

    def prompts(self) -> list[str]:
        """Returns prompts in the words of MedVQA-GI, every one of them true of the picture."""
        procedure = "a colonoscopy" if self.is_colonoscopy else "a gastroscopy"
        said = [f"Generate an image from {procedure} procedure."]
        if self.finding:
            said.append(f"Generate an image containing {_article(self.finding)}.")
        else:
            said.append("Generate an image with no findings.")
        if self.finding == "polyp":
            place = f"{ROWS[self.row]}-{COLUMNS[self.column]}"
            place = "center" if place == "center-center" else place
            said.append(f"Generate an image with an abnormality located in the {place}.")
            said.append("Generate an image with 1 polyp.")
        box = "containing" if self.has_box else "not containing"
        said.append(f"Generate an image {box} a green/black box artefact.")
        text = "containing text" if self.has_text else "not containing text"
        said.append(f"Generate an image {text}.")
        tool = "containing a polyp snare" if self.has_instrument else "with no instruments"
        said.append(f"Generate an image {tool}.")
        return said


def _article(finding: str) -> str:
    return f"a {finding}" if finding == "polyp" else finding


def scenes(count: int = 24) -> list[Scene]:
    """Returns scenes in which every finding, place and overlay occurs."""
    findings = ("polyp", "ulcerative colitis", "", "polyp", "oesophagitis", "polyp")
    return [
        Scene(
            index=index,
            is_colonoscopy=findings[index % 6] != "oesophagitis" and index % 4 != 2,
            finding=findings[index % 6],
            row=index % 3,
            column=index // 3 % 3,
            has_box=index % 2 == 0,
            has_text=index % 3 == 0,
            has_instrument=index % 5 == 0,
        )
        for index in range(count)
    ]


def draw_scene(scene: Scene, size_px: int = 64) -> Image.Image:
    """Returns the picture of a scene, size_px x size_px, the same for the same scene."""
    rng = random.Random(scene.index)
    picture = Image.new("RGB", (size_px, size_px), "black")
    draw = ImageDraw.Draw(picture)
    ground = (205, 105, 95) if scene.is_colonoscopy else (215, 140, 85)
    draw.ellipse((2, 2, size_px - 3, size_px - 3), fill=ground)
    for _ in range(30):  # folds and vessels, so that no two pictures are near-duplicates
        x, y = (rng.randrange(size_px // 6, size_px * 5 // 6) for _ in range(2))
        shade = tuple(max(0, channel - rng.randrange(70)) for channel in ground)
        draw.arc((x - 9, y - 7, x + 9, y + 7), rng.randrange(360), rng.randrange(360), fill=shade)
    if scene.finding == "polyp":
        x = size_px * (2 + 2 * scene.column) // 8
        y = size_px * (2 + 2 * scene.row) // 8
        draw.ellipse((x - 7, y - 7, x + 7, y + 7), fill=(240, 50, 60), outline=(255, 200, 200))
    elif scene.finding:
        spot = (250, 235, 220) if scene.finding == "ulcerative colitis" else (255, 60, 30)
        for _ in range(40):
            x, y = (rng.randrange(size_px // 5, size_px * 4 // 5) for _ in range(2))
            draw.rectangle((x, y, x + 2, y + 2), fill=spot)
    if scene.has_instrument:
        draw.line((size_px // 2, size_px, size_px * 2 // 3, size_px // 2), fill="gray", width=4)
    if scene.has_box:
        edge = size_px - size_px // 4
        draw.rectangle((0, edge, size_px // 4, size_px), fill=(20, 160, 60))
    if scene.has_text:
        draw.text((1, 0), f"{scene.index:02d}:15", fill="white")
    return picture


def write_dataset(
    folder: Path, count: int = 24, size_px: int = 64, validation: int = VALIDATION_COUNT
) -> Path:
    """Writes a folder in the MedVQA-GI layout, split included, and returns it."""
    (folder / "images").mkdir(parents=True)
    drawn = scenes(count)
    rows = []
    for scene in drawn:
        name = f"scene_{scene.index:02d}.png"
        draw_scene(scene, size_px).save(folder / "images" / name)
        rows += [(prompt, name) for prompt in scene.prompts()]
    with (folder / "prompt-gt.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=";").writerows([("Prompt", "Filename"), *rows])
    with (folder / "split.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("Filename", "Split"))
        for scene in drawn:
            is_validation = scene.index >= count - validation
            writer.writerow((f"scene_{scene.index:02d}.png", "val" if is_validation else "train"))
    return folder
