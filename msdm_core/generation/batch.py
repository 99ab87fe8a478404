"""Many prompts, models and seeds into one folder: model by model, resumable, no image twice."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from data.manifest import ManifestRow
from msdm_core.errors import BatchError, SettingsError, WorkspaceError
from msdm_core.generation.adapters import Adapter, make_adapter
from msdm_core.generation.batch_cell import Cell
from msdm_core.generation.batch_folder import BatchFolder
from msdm_core.generation.catalogue import ModelEntry
from msdm_core.generation.messages import person_message
from msdm_core.generation.progress import Progress

MAX_CONFLICTS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class BatchResult:
    """How many images were drawn now, were there already, and failed."""

    drawn: int
    kept: int
    failed: int


def run_batch(
    cells: Sequence[Cell],
    folder: Path,
    make: Callable[[ModelEntry], Adapter] = make_adapter,
    *,
    least_nearness: float = 0.0,
) -> BatchResult:
    """Draws what the folder lacks and lists everything in its manifest.

    Args:
        cells: what is asked for.
        folder: made when missing; images that are in it already are kept.
        make: makes the adapter of a model.
        least_nearness: images whose nearness percentile is below are left out, 0 to 100.

    Raises:
        BatchError: the folder is in use, or holds an image of a cell drawn otherwise.
        ManifestError: the manifest in the folder is damaged.
        SettingsError: the device, or what a model asks of it, is not there.
        WorkspaceError: the folder cannot be written.
        KeyboardInterrupt: the person stopped it; what is drawn is kept and listed.
    """
    order = [cell.image_id for cell in cells]
    with closing(BatchFolder(folder)) as target:
        weights = {cell.entry.id: "" for cell in cells}
        for entry in {cell.entry.id: cell.entry for cell in cells}.values():
            weights[entry.id] = entry.weights_sha256()
        todo = _compare(cells, target, weights)
        again = {cell.image_id for cell in todo}
        target.open_lists(
            [row for image_id, row in target.rows.items() if image_id not in again],
            dict.fromkeys(name for cell in cells for name in cell.prompt.carried),
        )
        try:
            _draw(todo, target, weights, make, least_nearness)
        except WorkspaceError:  # nothing can be written any more, the lists neither
            raise
        except BaseException:
            target.finish(order)
            raise
        target.finish(order)
        failed = sum(not target.rows[image_id].is_done for image_id in again)
        return BatchResult(len(todo) - failed, len(cells) - len(todo), failed)


def _compare(cells: Sequence[Cell], target: BatchFolder, weights: dict[str, str]) -> list[Cell]:
    """Returns the cells to draw.

    Raises:
        BatchError: the folder holds an image that was drawn with other weights or settings.
    """
    conflicts = _foreign_rows(cells, target.rows.values(), weights)
    todo: list[Cell] = []
    for cell in cells:
        row = target.rows.get(cell.image_id)
        if row is None and (image := target.unlisted(cell.image_id)):
            row = cell.row(image)
            if cell.is_drawn_as_asked(image.provenance, weights[cell.entry.id]):
                target.rows[cell.image_id] = row
            else:
                conflicts.append(f"{row.file_name}: drawn otherwise than asked, and not listed")
        elif row is not None and row.is_done and row.settings_sha256 != cell.settings_sha256:
            conflicts.append(f"{row.file_name}: {cell.difference(row)}")
        if row is None or not row.is_done or not target.image_path(cell.image_id).is_file():
            todo.append(cell)
    if conflicts:
        more = ["..."] if len(conflicts) > MAX_CONFLICTS_SHOWN else []
        shown = "\n  ".join([*conflicts[:MAX_CONFLICTS_SHOWN], *more])
        raise BatchError(
            f"{target.path} holds images that do not fit what is asked for "
            f"({len(conflicts)}); nothing was drawn:\n  {shown}\n"
            "Choose a new folder with --out, or ask for the weights and settings of before."
        )
    return todo


def _foreign_rows(
    cells: Sequence[Cell], rows: Iterable[ManifestRow], weights: dict[str, str]
) -> list[str]:
    """Returns what in a manifest contradicts the models and prompts as they are now."""
    prompts = {cell.prompt.id: cell.prompt.text for cell in cells}
    asked = {cell.image_id for cell in cells}
    conflicts = []
    for row in rows:
        if not row.is_done and row.image_id in asked:
            continue  # it is drawn anew, as it is asked for now
        name = row.file_name or row.image_id
        if row.is_done and weights.get(row.model_id, row.weights_sha256) != row.weights_sha256:
            conflicts.append(f"{name}: the weights of {row.model_id} have changed since")
        elif prompts.get(row.prompt_id, row.prompt) != row.prompt:
            now = prompts[row.prompt_id]
            conflicts.append(f"{name}: prompt {row.prompt_id} was {row.prompt!r}, now {now!r}")
    return conflicts


def _draw(
    todo: Sequence[Cell],
    target: BatchFolder,
    weights: dict[str, str],
    make: Callable[[ModelEntry], Adapter],
    least_nearness: float,
) -> None:
    by_model: dict[str, list[Cell]] = {}
    for cell in todo:
        by_model.setdefault(cell.entry.id, []).append(cell)
    counts = {model_id: len(cells) for model_id, cells in by_model.items()}
    progress = Progress(counts, _known_durations(target.rows.values()))
    if target.rows:
        progress.note(f"{target.path} lists {len(target.rows)} images; to be drawn: {len(todo)}.")
    for model_id, cells in by_model.items():
        entry = cells[0].entry
        progress.start_model(model_id, entry.label)
        adapter = make(entry)
        try:
            adapter.load()
        except SettingsError:  # the command is wrong, not the model
            raise
        except Exception as error:  # the other models can still be drawn
            message = f"The model could not be loaded. {person_message(error)}"
            progress.note(f"{entry.label}: {message}")
            for cell in cells:
                target.add(cell.failed_row(message))
                progress.end_image(is_drawn=False)
            continue
        try:
            for cell in cells:
                _draw_one(cell, adapter, target, weights[model_id], progress, least_nearness)
        finally:
            adapter.unload()


def _draw_one(
    cell: Cell,
    adapter: Adapter,
    target: BatchFolder,
    weights: str,
    progress: Progress,
    least_nearness: float,
) -> None:
    progress.start_image()
    try:
        generated = cell.named(adapter.generate(cell.request, progress.step))
    except Exception as error:  # one image less; the reason stands in the manifest
        message = person_message(error)
        name = f"{cell.entry.label}, prompt {cell.prompt.id}, seed {cell.request.seed}"
        progress.note(f"Failed: {name}: {message}")
        target.add(cell.failed_row(message))
        progress.end_image(is_drawn=False)
        return
    if generated.provenance.weights_sha256 != weights:
        raise BatchError(
            f"The weights of {cell.entry.label} changed while the command ran. Choose a new "
            "folder with --out for the new weights."
        )
    row = cell.row(generated)
    if row.nearness_percentile is not None and row.nearness_percentile < least_nearness:
        message = (
            f"left out: too near to a training image, nearness percentile "
            f"{row.nearness_percentile:g}, asked for {least_nearness:g} or more"
        )
        progress.note(f"{row.image_id}: {message}")
        target.add(cell.failed_row(message))
        progress.end_image(is_drawn=False)
        return
    target.add(row, generated)
    progress.end_image()


def _known_durations(rows: Iterable[ManifestRow]) -> dict[str, float]:
    """Returns the mean time of an image by model, of those drawn before."""
    times: dict[str, list[float]] = {}
    for row in rows:
        if row.duration_s is not None:
            times.setdefault(row.model_id, []).append(row.duration_s)
    return {model_id: sum(all_s) / len(all_s) for model_id, all_s in times.items()}
