"""Fetches the weights of a model into the cache of the hub: resumed, verified, checked for space.

A large file becomes part of the cache only after its SHA-256 has been found right; until then it
is a file `HASH.partial` beside the others, and a later run goes on from its end.
"""

import errno
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from msdm_core.errors import DownloadError, HubUnreachableError
from msdm_core.generation.availability import inspect_files, show_bytes
from msdm_core.generation.catalogue import ModelEntry
from msdm_core.generation.hub_repository import (
    HubFile,
    HubListing,
    hub_errors,
    is_intact,
    list_repository,
    lora_files,
    pipeline_files,
)
from msdm_core.generation.weights import WeightsSource

Say = Callable[[str], None]
"""Called with one line for the person."""

Advance = Callable[[str, int, int], None]
"""Called as advance(doing, done_bytes, total_bytes) while bytes are fetched or checked."""

_SPARE_BYTES = 64 * 2**20  # a disk filled to the last byte stops other programs


@dataclass(frozen=True, slots=True)
class _Plan:
    source: WeightsSource
    listing: HubListing
    files: tuple[HubFile, ...]

    @property
    def repository(self) -> Path:
        from huggingface_hub import constants

        name = f"models--{self.source.hub.replace('/', '--')}"
        return Path(constants.HF_HUB_CACHE) / name

    def path(self, file: HubFile) -> Path:
        return self.repository / "snapshots" / self.listing.commit / file.name

    def blob(self, file: HubFile) -> Path:
        return self.repository / "blobs" / file.digest

    def partial(self, file: HubFile) -> Path:
        return self.repository / "blobs" / f"{file.digest}.partial"

    def lock(self, file: HubFile) -> Path:
        locks = self.repository.parent / ".locks" / self.repository.name
        return locks / f"{file.digest}.partial.lock"


def download_model(entry: ModelEntry, say: Say, advance: Advance) -> None:
    """Fetches what a model lacks, pipelines and LoRA weights, and verifies every file.

    Args:
        entry: the model.
        say: told what is done.
        advance: told how far it is.

    Raises:
        DownloadError: no network, no space, no permission, or content that is not what the hub
            promises; the message tells the next step.
    """
    sources = [*entry.sources().values(), *(lora.source for lora in entry.loras)]
    if not any(source.hub for source in sources):
        found = inspect_files(entry)
        if not found.is_ready:
            raise DownloadError(
                f"{entry.id} is not on the hub, so there is nothing to download. {found.why} "
                f"{found.next_step}"
            )
        say(f"{entry.id} is a folder of this machine and whole; nothing to download.")
        return
    try:
        plans = _plans(entry)
    except HubUnreachableError:
        if not inspect_files(entry).is_ready:
            raise
        _verify_offline(entry, sources, say, advance)
        return
    with _disk_errors():
        _fetch(entry, plans, say, advance)
    found = inspect_files(entry)
    if not found.is_ready:
        raise DownloadError(f"{entry.id} is downloaded, yet cannot be used. {found.why}")
    say(f"{entry.id} is downloaded and verified.")


def _plans(entry: ModelEntry) -> list[_Plan]:
    plans = []
    for source in entry.sources().values():
        if source.hub:
            listing = list_repository(source)
            plans.append(_Plan(source, listing, tuple(pipeline_files(source, listing))))
    for lora in entry.loras:
        if lora.source.hub:
            listing = list_repository(lora.source)
            plans.append(_Plan(lora.source, listing, tuple(lora_files(lora, listing))))
    return plans


def _fetch(entry: ModelEntry, plans: Sequence[_Plan], say: Say, advance: Advance) -> None:
    files = [(plan, file) for plan in plans for file in plan.files]
    present = [(plan, file) for plan, file in files if plan.path(file).is_file()]
    total = sum(file.size_bytes for _, file in files)
    if len(present) == len(files):
        say(f"{entry.id} is already downloaded ({show_bytes(total)}); checking it.")
    damaged = _damaged(present, advance)
    for plan, file in damaged:
        say(f"{file.name} of {plan.source.hub} is damaged; fetching it again.")
        _discard(plan, file)
    missing = [pair for pair in files if pair not in present or pair in damaged]
    if not missing:
        return
    _check_space(missing)
    progress = _Progress(f"Downloading {entry.id}", sum(f.size_bytes for _, f in missing), advance)
    for plan, file in missing:
        if file.is_large and not plan.blob(file).is_file():
            _fetch_large(plan, file, progress)
    for plan in plans:
        _finish(plan)
    if wrong := _damaged([pair for pair in missing if not pair[1].is_large], advance):
        plan, file = wrong[0]
        for bad_plan, bad in wrong:
            _discard(bad_plan, bad)
        raise _not_as_promised(plan, file)


def _fetch_large(plan: _Plan, file: HubFile, progress: "_Progress") -> None:
    """Fetches one large file, going on from what an earlier run left."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import get_hf_file_metadata, http_get
    from huggingface_hub.utils._fixes import WeakFileLock
    from huggingface_hub.utils._headers import build_hf_headers

    partial = plan.partial(file)
    partial.parent.mkdir(parents=True, exist_ok=True)
    url = hf_hub_url(plan.source.hub, file.name, revision=plan.listing.commit)
    plan.lock(file).parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(plan.lock(file)):
        if plan.blob(file).is_file():  # another process has fetched it meanwhile
            return
        with partial.open("ab") as target, hub_errors(plan.source):
            if target.tell() > file.size_bytes:
                target.truncate(0)
            metadata = get_hf_file_metadata(url)
            headers = build_hf_headers()
            if urlsplit(metadata.location).netloc != urlsplit(url).netloc:
                headers.pop("authorization", None)  # signed addresses of the store take no login
            progress.update(target.tell())
            http_get(
                metadata.location,
                target,
                resume_size=target.tell(),
                headers=headers,
                expected_size=file.size_bytes,
                displayed_filename=file.name,
                tqdm_class=progress.bar(),
            )
        if not is_intact(partial, file.digest):
            partial.unlink()
            raise _not_as_promised(plan, file)
        partial.replace(plan.blob(file))


def _finish(plan: _Plan) -> None:
    """Lets the client of the hub fetch the small files and lay out the folder."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    with hub_errors(plan.source):
        snapshot_download(
            plan.source.hub,
            revision=plan.source.revision or None,
            allow_patterns=[file.name for file in plan.files],
        )


def _damaged(
    files: Sequence[tuple[_Plan, HubFile]], advance: Advance
) -> list[tuple[_Plan, HubFile]]:
    progress = _Progress("Checking", sum(file.size_bytes for _, file in files), advance)
    return [
        (plan, file)
        for plan, file in files
        if not is_intact(plan.path(file), file.digest, progress.update)
    ]


def _discard(plan: _Plan, file: HubFile) -> None:
    plan.path(file).unlink(missing_ok=True)
    plan.blob(file).unlink(missing_ok=True)


def _not_as_promised(plan: _Plan, file: HubFile) -> DownloadError:
    return DownloadError(
        f"What came for {file.name} of {plan.source.hub} does not have the hash the hub tells. It "
        "has been removed. Run the command again; if this comes back, a proxy or mirror changes "
        "what it passes on."
    )


def _check_space(missing: Sequence[tuple[_Plan, HubFile]]) -> None:
    needed = sum(file.size_bytes for _, file in missing)
    for plan, file in missing:
        have = plan.blob(file) if plan.blob(file).is_file() else plan.partial(file)
        needed -= min(have.stat().st_size, file.size_bytes) if have.is_file() else 0
    folder = missing[0][0].repository
    while not folder.is_dir():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if needed + _SPARE_BYTES > free:
        raise DownloadError(
            f"Not enough space: {show_bytes(needed)} are to be downloaded, {show_bytes(free)} are "
            f"free on the disk of {folder}. Free some, or set HF_HOME to a folder of a larger disk."
        )


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            text = "The disk is full. Free some space and run the command again; it goes on."
        elif error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            text = (
                f"{error.filename or 'The cache of the hub'} cannot be written: {error.strerror}. "
                "Set HF_HOME to a folder of your own."
            )
        else:
            raise DownloadError(f"The download stopped: {error}. Run the command again.") from error
        raise DownloadError(text) from error


def _verify_offline(
    entry: ModelEntry, sources: Sequence[WeightsSource], say: Say, advance: Advance
) -> None:
    """Checks a model that is here against the hashes that the cache keeps as names of its files."""
    say(f"The hub cannot be reached, but {entry.id} is already downloaded; checking it.")
    paths = [
        path
        for source in sources
        if source.hub and (place := source.place)
        for path in sorted(place.rglob("*"))
        if path.is_symlink() and path.is_file()
    ]
    progress = _Progress("Checking", sum(path.stat().st_size for path in paths), advance)
    for path in paths:
        digest = Path(os.path.realpath(path)).name
        if not is_intact(path, digest, progress.update):
            raise DownloadError(
                f"{path.name} of {entry.id} is damaged, and the hub cannot be reached to fetch it "
                "again. Run the command again with a network."
            )
    say(f"{entry.id} is whole.")


class _Progress:
    """Bytes done of a total, over several files."""

    def __init__(self, doing: str, total_bytes: int, advance: Advance) -> None:
        self._doing = doing
        self._total = total_bytes
        self._advance = advance
        self._done = 0

    def update(self, count: float | None = 1) -> None:
        """Counts bytes."""
        self._done = min(self._done + int(count or 0), self._total)
        self._advance(self._doing, self._done, self._total)

    def bar(self) -> Any:
        """Returns a class that the client of the hub takes for its progress bar."""
        update = self.update

        class Bar:
            def __init__(self, *_: object, **__: object) -> None:
                self.update = update

            def __enter__(self) -> Self:
                return self

            def __exit__(
                self,
                kind: type[BaseException] | None,
                error: BaseException | None,
                trace: TracebackType | None,
            ) -> None:
                pass

            def close(self) -> None:
                pass

        return Bar
