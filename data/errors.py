"""Errors of the data package: every one is a DataError and says what to do next."""


class DataError(Exception):
    """Base of every error that this package raises on purpose."""


class DataValueError(DataError, ValueError):
    """An argument is outside the values allowed."""


class DatasetLayoutError(DataError):
    """A folder follows none of the layouts that the readers know."""


class DatasetTableError(DataError):
    """A CSV file of a dataset cannot be used as it is."""


class MissingImagesError(DataError):
    """Captions name images that are not in the folder."""


class ImageReadError(DataError):
    """A file is not an image, is truncated, or is too large to be decoded safely."""


class SplitError(DataError):
    """A split cannot be made, written or read."""


class ProvenanceError(DataError):
    """A provenance record is malformed or written by a newer format."""


class ManifestError(DataError):
    """The list of a folder of generated images is damaged or does not fit its images."""


class StudyInboxError(DataError):
    """The hand-over to studies holds no such image, or a damaged one."""
