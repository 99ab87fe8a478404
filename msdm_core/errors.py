"""Errors a person can act on, raised by every part of `msdm_core`.

A message says what failed, the value received, the values allowed and the next step. Interfaces
(the Generate tab, the command line) show the message of a `CoreError` as it stands; any other
exception is a defect and is logged under a reference.
"""


class CoreError(Exception):
    """Base of every error that `msdm_core` raises on purpose."""


class SettingsError(CoreError):
    """A setting has a value that cannot be used."""


class WorkspaceError(CoreError):
    """The workspace folder cannot be created, read or written, or its disk is full."""


class PortInUseError(CoreError):
    """Another program listens on the port that was asked for."""


class CatalogueError(CoreError):
    """The model catalogue cannot be read, or has no such model."""


class CheckpointError(CoreError):
    """A checkpoint folder is missing, incomplete, damaged or of a foreign kind."""


class IncompleteCheckpointError(CheckpointError):
    """A checkpoint folder lacks a file that loading it would read."""


class DownloadError(CoreError):
    """Weights cannot be fetched: no network, no space, no permission, or not what was promised."""


class HubUnreachableError(DownloadError):
    """The hub does not answer: no network, or going online is forbidden."""


class RequestError(CoreError):
    """A generation request has a value outside what is allowed."""


class GenerationError(CoreError):
    """A model ran and gave no usable picture."""


class WorkerError(CoreError):
    """The process that draws ended, or did not answer any more."""


class JobNotFoundError(CoreError):
    """No job or image has the id that was asked for."""


class GenerationClosedError(CoreError):
    """Whoever asks may not generate now, nor see what was generated."""


class JobCancelled(Exception):  # noqa: N818 - a request of the person, not an error
    """Raised inside a step callback to stop a job; never shown as a failure."""


class TrainingError(CoreError):
    """A training command was given data or options it cannot train with."""


class PromptFileError(CoreError):
    """A file of prompts cannot be used; the message lists everything wrong with it."""


class BatchError(CoreError):
    """A folder holds images that do not fit what is asked for, or is being written by another."""


class CostError(CoreError):
    """The cost of an image cannot be counted: a part is unknown or not of the expected form."""
