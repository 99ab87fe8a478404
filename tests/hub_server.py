"""A server on this machine that speaks as much of the Hugging Face hub as a download needs.

Small files are served as git keeps them, large ones by a redirect to a store, as the hub does.
"""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from safetensors.numpy import save

TOKEN = "hf_let_me_in"
LARGE = (".safetensors", ".bin", ".ckpt", ".onnx", ".msgpack")


@dataclass
class Repository:
    """One repository; `promised` are hashes, and `sizes` sizes, that differ from what is served."""

    files: dict[str, bytes]
    is_gated: bool = False
    commit: str = "1" * 40
    promised: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)

    def is_large(self, name: str) -> bool:
        return name.endswith(LARGE)

    def size(self, name: str) -> int:
        return self.sizes.get(name, len(self.files[name]))

    def digest(self, name: str) -> str:
        if name in self.promised:
            return self.promised[name]
        content = self.files[name]
        if self.is_large(name):
            return hashlib.sha256(content).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class Hub:
    """The repositories by OWNER/NAME, what was asked for, and where the network fails."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    address: str = ""
    store: str = ""  # the same server under another name, as large files come from another host
    asked: list[tuple[str, str, str]] = field(default_factory=list)  # method, path, range
    store_logins: int = 0  # requests that told the store a login
    cut_after: int | None = None  # bytes of a large file, then the connection breaks, once
    stall_after: int | None = None  # bytes of a large file, then nothing more comes
    released: threading.Event = field(default_factory=threading.Event)

    def fetched(self) -> list[str]:
        """Returns the names of the files whose content was asked for."""
        found = []
        for method, path, _ in self.asked:
            if method == "GET" and (match := re.search(r"/resolve/[^/]+/(.+)", path)):
                found.append(match[1])
            elif method == "GET" and path.startswith("/store/"):
                found.append(path.split("/", 4)[4])
        return found

    def ranges(self) -> list[str]:
        return [wanted for method, _, wanted in self.asked if method == "GET" and wanted]


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = urlsplit(self.path).path
        self.hub.asked.append((self.command, path, self.headers.get("Range", "")))
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            self._describe(match[1], match[2] or "main")
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/([^/]+)", path):
            self._list(match[1], match[2])
        elif match := re.fullmatch(r"/store/([^/]+/[^/]+)/(.+)", path):
            self.hub.store_logins += "Authorization" in self.headers
            self._serve(self.hub.repositories[match[1]], match[2])
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._resolve(match[1], match[2], match[3])
        else:
            self._refuse(404, "EntryNotFound")

    def _repository(self, name: str, revision: str) -> Repository | None:
        repository = self.hub.repositories.get(name)
        if repository is None:
            self._refuse(401, "RepoNotFound")
        elif revision not in {"main", repository.commit}:
            self._refuse(404, "RevisionNotFound")
            return None
        return repository

    def _describe(self, name: str, revision: str) -> None:
        if repository := self._repository(name, revision):
            siblings = [
                {"rfilename": file, "size": repository.size(file), "blobId": "2" * 40}
                | self._identity(repository, file, "sha256", "blobId")
                for file in repository.files
            ]
            about = {"id": name, "sha": repository.commit, "siblings": siblings, "tags": []}
            self._send(json.dumps(about).encode(), {"Content-Type": "application/json"})

    def _list(self, name: str, revision: str) -> None:
        if repository := self._repository(name, revision):
            tree = [
                {"type": "file", "path": file, "size": repository.size(file), "oid": "2" * 40}
                | self._identity(repository, file, "oid", "oid")
                for file in repository.files
            ]
            self._send(json.dumps(tree).encode(), {"Content-Type": "application/json"})

    def _identity(self, repository: Repository, name: str, large: str, small: str) -> dict:
        digest, size = repository.digest(name), repository.size(name)
        if repository.is_large(name):
            return {"lfs": {large: digest, "size": size, "pointerSize": 130}}
        return {small: digest}

    def _resolve(self, name: str, revision: str, file: str) -> None:
        repository = self._repository(name, revision)
        if repository is None:
            return
        if repository.is_gated and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._refuse(401, "GatedRepo")
        elif file not in repository.files:
            self._refuse(404, "EntryNotFound")
        elif repository.is_large(file):
            self._send(b"", {
                "X-Repo-Commit": repository.commit,
                "X-Linked-Etag": f'"{repository.digest(file)}"',
                "X-Linked-Size": str(len(repository.files[file])),
                "Location": f"{self.hub.store}/store/{name}/{file}",
            }, 302)  # fmt: skip
        else:
            headers = {
                "X-Repo-Commit": repository.commit,
                "ETag": f'"{repository.digest(file)}"',
            }
            self._send(repository.files[file], headers)

    def _serve(self, repository: Repository, file: str) -> None:
        content = repository.files[file]
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(wanted[1]) if wanted else 0
        headers = {"Accept-Ranges": "bytes"}
        if wanted:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        status = 206 if wanted else 200
        stop = self.hub.cut_after or self.hub.stall_after
        if stop is None:
            self._send(content[start:], headers, status)
            return
        self.hub.cut_after = None
        self._start(len(content) - start, headers, status)
        self.wfile.write(content[start : start + stop])
        self.wfile.flush()
        if self.hub.stall_after:
            self.hub.released.wait(60)
        self.close_connection = True

    def _refuse(self, status: int, code: str) -> None:
        self._send(b"", {"X-Error-Code": code, "X-Error-Message": code}, status)

    def _start(self, length: int, headers: dict[str, str], status: int) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def _send(self, body: bytes, headers: dict[str, str], status: int = 200) -> None:
        self._start(len(body), headers, status)
        if self.command != "HEAD":
            self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        pass  # a client that was killed leaves a broken connection


@contextmanager
def running_hub() -> Iterator[Hub]:
    """Yields a hub that answers on a free port of this machine."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    with _Server(("127.0.0.1", 0), handler) as server:
        hub.address = f"http://127.0.0.1:{server.server_address[1]}"
        hub.store = hub.address.replace("127.0.0.1", "localhost")
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            hub.released.set()
            server.shutdown()
            thread.join()


def weights(seed: int = 0, count: int = 64) -> bytes:
    """Returns the bytes of a safetensors file of `count` numbers."""
    return save({"a": np.random.default_rng(seed).standard_normal(count).astype(np.float32)})


NETWORK = "diffusion_pytorch_model"
PIPELINES: dict[str, dict[str, tuple[str, str]]] = {
    "StableDiffusionPipeline": {
        "unet": ("diffusers", "UNet2DConditionModel"),
        "vae": ("diffusers", "AutoencoderKL"),
        "text_encoder": ("transformers", "CLIPTextModel"),
        "tokenizer": ("transformers", "CLIPTokenizer"),
        "scheduler": ("diffusers", "PNDMScheduler"),
        "safety_checker": ("stable_diffusion", "StableDiffusionSafetyChecker"),
        "feature_extractor": ("transformers", "CLIPImageProcessor"),
    },
    "FluxPipeline": {
        "transformer": ("diffusers", "FluxTransformer2DModel"),
        "vae": ("diffusers", "AutoencoderKL"),
        "text_encoder": ("transformers", "CLIPTextModel"),
        "text_encoder_2": ("transformers", "T5EncoderModel"),
        "tokenizer": ("transformers", "CLIPTokenizer"),
        "tokenizer_2": ("transformers", "T5TokenizerFast"),
        "scheduler": ("diffusers", "FlowMatchEulerDiscreteScheduler"),
    },
    "KandinskyV22PriorPipeline": {
        "prior": ("diffusers", "PriorTransformer"),
        "image_encoder": ("transformers", "CLIPVisionModelWithProjection"),
        "text_encoder": ("transformers", "CLIPTextModelWithProjection"),
        "tokenizer": ("transformers", "CLIPTokenizer"),
        "image_processor": ("transformers", "CLIPImageProcessor"),
        "scheduler": ("diffusers", "UnCLIPScheduler"),
    },
    "KandinskyV22Pipeline": {
        "unet": ("diffusers", "UNet2DConditionModel"),
        "movq": ("diffusers", "VQModel"),
        "scheduler": ("diffusers", "DDPMScheduler"),
    },
    "MSDMPipeline": {
        "unet": ("diffusers", "UNet2DConditionModel"),
        "vae": ("diffusers", "AutoencoderDC"),
        "scheduler": ("diffusers", "DPMSolverMultistepScheduler"),
    },
}


def pipeline_files(pipeline: str, shards: dict[str, int] | None = None) -> dict[str, bytes]:
    """Returns the files of a pipeline folder by name, with weights of a few numbers.

    Args:
        pipeline: a key of `PIPELINES`.
        shards: into how many files the weights of a part are cut.
    """
    parts = PIPELINES[pipeline]
    index = {"_class_name": pipeline, "default_steps": 12, "default_guidance": 2.5}
    files = {"model_index.json": json.dumps(index | parts).encode()}
    for seed, (part, (library, kind)) in enumerate(parts.items()):
        if kind.endswith("Scheduler"):
            files[f"{part}/scheduler_config.json"] = _config(part)
        elif "Tokenizer" in kind:
            names = ("vocab.json", "tokenizer_config.json")
            files |= {f"{part}/{name}": _config(part + name) for name in names}
            files[f"{part}/merges.txt"] = b"#version: 0.2\n"
        elif "Processor" in kind:
            files[f"{part}/preprocessor_config.json"] = _config(part)
        else:
            files[f"{part}/config.json"] = _config(part)
            stem = "model" if library != "diffusers" else NETWORK
            files |= _weight_files(f"{part}/{stem}", seed, (shards or {}).get(part, 1))
    return files


def _config(name: str) -> bytes:
    """Returns a configuration unlike any other, for equal files are fetched only once."""
    return json.dumps({"_name": name}).encode()


def _weight_files(stem: str, seed: int, count: int) -> dict[str, bytes]:
    if count == 1:
        return {f"{stem}.safetensors": weights(seed)}
    names = [f"{stem}-{i + 1:05}-of-{count:05}.safetensors" for i in range(count)]
    index = {"weight_map": {str(i): Path(name).name for i, name in enumerate(names)}}
    files = {name: weights(100 * seed + i) for i, name in enumerate(names)}
    return files | {f"{stem}.safetensors.index.json": json.dumps(index).encode()}


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    """Writes files below a folder and returns it."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder
