"""The one place that turns an error into what a person sees."""

import errno
import logging
import secrets

from data.errors import DataError
from msdm_core.errors import CoreError

logger = logging.getLogger("msdm_core")

# Windows knows no quota error.
_DISK_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
_FULL_DISK = (
    "The disk is full: the image could not be saved. Free some space in the workspace "
    "and generate again."
)
_NO_MEMORY = (
    "There is not enough memory for this model. Close other programs, ask for a smaller model, "
    "or run on a machine with more memory."
)


def person_message(error: BaseException) -> str:
    """Returns what to tell the person; an unknown error is logged under the reference it names."""
    if isinstance(error, CoreError | DataError):
        return str(error)
    if isinstance(error, OSError) and error.errno in _DISK_FULL:
        return _FULL_DISK
    if isinstance(error, OSError) and error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return f"{error.filename or 'A file'} cannot be written: {error.strerror}."
    # torch.OutOfMemoryError is known by name only, so that torch need not be imported here.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return _NO_MEMORY
    reference = secrets.token_hex(4)
    logger.error("Unexpected error, reference %s", reference, exc_info=error)
    return (
        f"Something went wrong that should not have. The log names it under the reference "
        f"{reference}."
    )
