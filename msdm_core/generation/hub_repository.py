"""Repositories of the Hugging Face hub: what one holds, and which of its files a pipeline loads."""

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import httpx2

from msdm_core.errors import DownloadError, HubUnreachableError
from msdm_core.generation.availability import has_hub_token
from msdm_core.generation.checkpoint import components, is_main_file, read_model_index
from msdm_core.generation.weights import LoraEntry, WeightsSource

_TEXT_SUFFIXES = frozenset({".json", ".txt", ".model"})
_CARDS = re.compile(r"(README|LICEN[CS]E)[\w.-]*", re.IGNORECASE)
_SHARD = re.compile(r"-\d{5}-of-\d{5}\.safetensors$")
_GIT_HASH_LENGTH = 40
_CHUNK_BYTES = 4 * 2**20


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file of a repository; `digest` is its SHA-256, or of small files the hash git uses."""

    name: str
    size_bytes: int
    digest: str

    @property
    def is_large(self) -> bool:
        """Whether the hub keeps the file in its store for large files."""
        return len(self.digest) != _GIT_HASH_LENGTH


@dataclass(frozen=True, slots=True)
class HubListing:
    """The files of a repository at one commit."""

    hub: str
    commit: str
    files: tuple[HubFile, ...]


def list_repository(source: WeightsSource) -> HubListing:
    """Returns the files of a repository at the revision of `source`.

    Raises:
        DownloadError: there is no such repository or revision, no permission, or no network.
    """
    from huggingface_hub import HfApi

    with hub_errors(source):
        found = HfApi().model_info(
            source.hub, revision=source.revision or None, files_metadata=True
        )
    files = [
        HubFile(
            item.rfilename,
            int(item.size or 0),
            str(item.lfs["sha256"] if item.lfs else item.blob_id or ""),
        )
        for item in found.siblings or ()
    ]
    return HubListing(source.hub, str(found.sha), tuple(files))


def fetch_small_file(source: WeightsSource, listing: HubListing, name: str) -> Path:
    """Returns the path of one small file, fetched into the cache of the hub.

    Raises:
        DownloadError: it cannot be fetched.
    """
    from huggingface_hub import hf_hub_download

    with hub_errors(source):
        return Path(hf_hub_download(source.hub, name, revision=listing.commit))


def pipeline_files(source: WeightsSource, listing: HubListing) -> list[HubFile]:
    """Returns the files that loading the pipeline reads, and the card and licence beside them.

    Half-precision variants, pickles and the same weights in one file are left out.

    Raises:
        DownloadError: the repository holds no pipeline, or one without safetensors.
    """
    top = f"{source.subfolder}/" if source.subfolder else ""
    names = {file.name for file in listing.files}
    if f"{top}model_index.json" not in names:
        raise DownloadError(
            f"{source.hub} has no {top}model_index.json, so it is no diffusers pipeline. Correct "
            "hub, revision or subfolder in catalogue.toml."
        )
    index = fetch_small_file(source, listing, f"{top}model_index.json")
    wanted = {f"{top}model_index.json"} | {name for name in names if _CARDS.fullmatch(name)}
    for part in components(read_model_index(index.parent)):
        inside = sorted(name for name in names if str(PurePosixPath(name).parent) == f"{top}{part}")
        weights = _chosen_weights(inside)
        if f"{top}{part}/config.json" in names and not any(
            name.endswith(".safetensors") for name in weights
        ):
            raise DownloadError(
                f"{source.hub} has no .safetensors file in {part}; pickled weights (.bin, .ckpt) "
                "can run foreign code and are never loaded. Look for a revision with "
                "safetensors, or convert it: docs/models.md says how."
            )
        wanted |= weights
        wanted |= {
            name
            for name in inside
            if PurePosixPath(name).suffix in _TEXT_SUFFIXES and ".safetensors." not in name
        }
    return [file for file in listing.files if file.name in wanted]


def _chosen_weights(inside: list[str]) -> set[str]:
    """Returns the weight files of one part that are loaded by default, with their index."""
    main = [name for name in inside if is_main_file(PurePosixPath(name).name)]
    index = {name for name in main if name.endswith(".safetensors.index.json")}
    weights = {name for name in main if name.endswith(".safetensors")}
    if index:
        weights = {name for name in weights if _SHARD.search(name)}
    return index | weights


def lora_files(lora: LoraEntry, listing: HubListing) -> list[HubFile]:
    """Returns the file of LoRA weights and, where there is one, its configuration.

    Raises:
        DownloadError: the repository has no file of that name.
    """
    top = f"{lora.source.subfolder}/" if lora.source.subfolder else ""
    found = [file for file in listing.files if file.name == f"{top}{lora.weight_name}"]
    if not found:
        there = [file.name for file in listing.files if file.name.endswith(".safetensors")]
        raise DownloadError(
            f"{lora.source.hub} has no {top}{lora.weight_name}; its safetensors files: "
            f"{', '.join(there) or 'none'}. Correct weight_name of the LoRA in catalogue.toml."
        )
    beside = str(PurePosixPath(found[0].name).parent / "adapter_config.json")
    return found + [file for file in listing.files if file.name == beside]


def is_intact(path: Path, digest: str, advance: Callable[[int], None] | None = None) -> bool:
    """Whether a file has the hash the hub tells: SHA-256, or of small files the one of git.

    Args:
        path: the file.
        digest: 64 or 40 hexadecimal digits.
        advance: called with the number of bytes read since the last call.
    """
    if len(digest) == _GIT_HASH_LENGTH:
        found = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    else:
        found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            found.update(chunk)
            if advance:
                advance(len(chunk))
    return found.hexdigest() == digest


@contextmanager
def hub_errors(source: WeightsSource) -> Iterator[None]:
    """Turns what the client of the hub raises into errors that tell what to do."""
    from huggingface_hub import errors

    page = f"https://huggingface.co/{source.hub}"
    try:
        yield
    except errors.GatedRepoError as error:
        step = (
            f"The login found here has not been given access: accept the licence at {page} with "
            "the same account, and check that its token may read gated repositories."
            if has_hub_token()
            else f"Accept the licence at {page}, then log in with: hf auth login (or set HF_TOKEN)."
        )
        raise DownloadError(f"{source.hub} is gated: the hub refuses it. {step}") from error
    except errors.RevisionNotFoundError as error:
        raise DownloadError(
            f"{source.hub} has no revision {source.revision or 'main'!r} (any more). Choose one "
            f"that {page}/commits/main lists and set it in a catalogue.toml of your own."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise DownloadError(
            f"The hub has no repository {source.hub!r}, or it is private. Check the name, or log "
            "in with: hf auth login"
        ) from error
    except errors.HfHubHTTPError as error:
        raise _refused(source, error) from error
    except (httpx2.HTTPError, ConnectionError, errors.LocalEntryNotFoundError) as error:
        raise HubUnreachableError(
            f"The hub cannot be reached for {source.hub}: {_reason(error)}. Check the network (and "
            "HTTPS_PROXY, HF_ENDPOINT, HF_HUB_OFFLINE where they are set), then run the command "
            "again; it goes on where it stopped."
        ) from error


def _refused(source: WeightsSource, error: httpx2.HTTPError) -> DownloadError:
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", 0)
    if status in {401, 403}:
        return DownloadError(
            f"The hub refuses {source.hub} ({status}): the login found here is not valid or may "
            "not read it. Log in again with: hf auth login (or correct HF_TOKEN)."
        )
    return HubUnreachableError(
        f"The hub answers with {status or 'no status'} for {source.hub}. Try again later; the "
        "download goes on where it stopped."
    )


def _reason(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return text[0].rstrip(".") if text else type(error).__name__
