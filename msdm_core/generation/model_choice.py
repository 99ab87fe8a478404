"""Models named the short way: an identifier, a family, or the beginning of an identifier."""

from msdm_core.errors import CatalogueError
from msdm_core.generation.catalogue import Catalogue, ModelEntry


def choose_models(catalogue: Catalogue, names: str, device: str = "auto") -> tuple[ModelEntry, ...]:
    """Returns the models of "msdm,flux,kandinsky-compact-gi", all of them ready.

    Args:
        catalogue: the models on offer.
        names: separated by commas: identifiers; families, which mean their first model that is
            ready; or beginnings of identifiers that only one model has.
        device: where they are to run.

    Raises:
        CatalogueError: a name means no model or several, or one is named twice.
        CheckpointError: a model cannot run here.
    """
    asked = [name.strip() for name in names.split(",")]
    chosen: dict[str, str] = {}
    entries = []
    for name in asked:
        entry = choose_model(catalogue, name, device)
        if entry.id in chosen:
            raise CatalogueError(
                f"The model {entry.id} is named twice, as {chosen[entry.id]!r} and as {name!r}. "
                "Name each model once."
            )
        chosen[entry.id] = name
        entries.append(entry)
    for entry in entries:
        entry.require_ready(device)
    return tuple(entries)


def choose_model(catalogue: Catalogue, name: str, device: str = "auto") -> ModelEntry:
    """Returns the model that `name` means, ready or not; a family means its first ready one.

    Raises:
        CatalogueError: the name means no model or several.
    """
    entries = list(catalogue)
    if not name or any(entry.id == name for entry in entries):
        return catalogue[name]
    if family := [entry for entry in entries if entry.family == name]:
        return next((entry for entry in family if entry.availability(device).is_ready), family[0])
    found = [entry for entry in entries if entry.id.startswith(name)]
    if len(found) > 1:
        raise CatalogueError(
            f"{name!r} may mean {' or '.join(entry.id for entry in found)}. Write more of the name."
        )
    return found[0] if found else catalogue[name]
