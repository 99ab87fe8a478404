"""How the app and the process that draws talk over a pipe: JSON with a picture behind it.

A frame is two lengths of four bytes each, little-endian, then a JSON object, then raw bytes. It
carries data only: nothing in it is ever executed or unpickled.
"""

import json
import struct
from collections.abc import Mapping
from typing import Any, BinaryIO

from msdm_core.errors import WorkerError

MAX_MESSAGE_BYTES = 4 * 2**20
MAX_CONTENT_BYTES = 512 * 2**20
_LENGTHS = struct.Struct("<II")


def write_frame(file: BinaryIO, message: Mapping[str, Any], content: bytes = b"") -> None:
    """Writes one frame and flushes it.

    Raises:
        OSError: the other side is gone.
    """
    text = json.dumps(message).encode()
    file.write(_LENGTHS.pack(len(text), len(content)) + text)
    file.write(content)
    file.flush()


def read_frame(file: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    """Returns the next message and its content, None when the other side has closed the pipe.

    Raises:
        WorkerError: what comes is no frame.
    """
    lengths = _read(file, _LENGTHS.size)
    if lengths is None:
        return None
    message_bytes, content_bytes = _LENGTHS.unpack(lengths)
    if message_bytes > MAX_MESSAGE_BYTES or content_bytes > MAX_CONTENT_BYTES:
        raise WorkerError(
            f"A frame claims {message_bytes:,} and {content_bytes:,} bytes; at most "
            f"{MAX_MESSAGE_BYTES:,} and {MAX_CONTENT_BYTES:,} are allowed."
        )
    text, content = _read(file, message_bytes), _read(file, content_bytes)
    if text is None or content is None:  # killed in the middle of a frame
        return None
    try:
        message = json.loads(text)
    except ValueError as error:
        raise WorkerError(f"A frame holds no JSON: {error}.") from error
    if not isinstance(message, dict):
        raise WorkerError(f"A frame holds a {type(message).__name__}, not a JSON object.")
    return message, content


def _read(file: BinaryIO, count: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < count:
        part = file.read(count - len(parts))
        if not part:
            return None
        parts += part
    return bytes(parts)
