"""Runs `app.py` with leaks that are switched on by the file `leak` of its workspace.

Each leak is a mistake that a blinded study has been spoilt by; the audit must find every one.
"""

import asyncio
import json
import sqlite3
import struct
import sys
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from rating.storage.database import FILE_NAME

LEAKS = ("header", "chunk", "key", "latency", "prompt", "file-name", "etag", "cookie")
SWITCH = "leak"
SLOW_S = 0.08

_ARM_AND_NAME = """
SELECT arm.code, stimulus.source_name FROM assignment_slot
JOIN stimulus ON stimulus.id = assignment_slot.stimulus_id
JOIN arm ON arm.id = stimulus.arm_id WHERE assignment_slot.token = ?
"""
_PROMPT = """
SELECT prompt.text FROM assignment JOIN item ON item.id = assignment.item_id
JOIN prompt ON prompt.id = item.prompt_id WHERE assignment.token = ?
"""


class Leak:
    """ASGI application around the real one, which changes what goes out."""

    def __init__(self, inner: Any, home: Path) -> None:
        self._inner, self._switch, self._database = inner, home / SWITCH, home / FILE_NAME

    @property
    def _leak(self) -> str:
        return self._switch.read_text() if self._switch.exists() else ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http" or not path.startswith(("/rate/image/", "/rate/api/")):
            await self._inner(scope, receive, send)
            return
        started: dict[str, Any] = {}
        body = b""

        async def keep(message: Any) -> None:
            nonlocal body
            if message["type"] == "http.response.start":
                started.update(message)
            else:
                body += message.get("body", b"")

        await self._inner(scope, receive, keep)
        headers = [(n, v) for n, v in started["headers"] if n.lower() != b"content-length"]
        if started["status"] == 200:
            change: Callable[..., Awaitable[bytes]] = (
                self._picture if path.startswith("/rate/image/") else self._answer
            )
            body = await change(path, headers, body)
        headers.append((b"content-length", str(len(body)).encode()))
        await send({**started, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _ask(self, statement: str, token: str) -> Any:
        with sqlite3.connect(self._database) as connection:
            found = connection.execute(statement, (token,)).fetchone()
        connection.close()
        return found

    async def _picture(self, path: str, headers: list[Any], png: bytes) -> bytes:
        found = self._ask(_ARM_AND_NAME, path.rsplit("/", 1)[1].removesuffix(".png"))
        if found is None:  # practice
            return png
        arm, name = found
        if self._leak == "header":
            headers.append((b"x-served-from", f"store/{arm}".encode()))
        elif self._leak == "chunk" and arm != "real":
            text = b"tEXtSoftware\0Pillow"
            chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
            return png[:33] + chunk + png[33:]
        elif self._leak == "latency" and arm == "real":
            await asyncio.sleep(SLOW_S)
        elif self._leak == "file-name":
            headers[:] = [(n, v) for n, v in headers if n.lower() != b"content-disposition"]
            headers.append((b"content-disposition", f'inline; filename="{name}"'.encode()))
        elif self._leak == "etag":
            headers.append((b"etag", f'"{zlib.crc32(png):08x}"'.encode()))
        elif self._leak == "cookie":
            headers.append((b"set-cookie", f"last={arm}; Path=/".encode()))
        return png

    async def _answer(self, path: str, headers: list[Any], body: bytes) -> bytes:
        values = json.loads(body)
        item = values.get("state", values).get("item")
        if item and self._leak == "key":
            item["kind"] = "main"
        elif item and self._leak == "prompt":
            item["images"][0]["alt"] = self._ask(_PROMPT, item["token"])[0]
            item["tags"].append(item["images"][0].pop("alt"))
        return json.dumps(values).encode()


def main(arguments: list[str]) -> int:
    import app

    build = app.build_app

    def build_leaky(settings: Any, *others: Any) -> Any:
        return Leak(build(settings, *others), settings.home)

    app.build_app = build_leaky  # type: ignore[assignment]
    return app.main(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
