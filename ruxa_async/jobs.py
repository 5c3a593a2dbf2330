"""A job of a batch, and what can become of it."""

from pathlib import Path
from typing import Any, TypeAlias

from attrs import field, frozen

from ruxa_async.catalog import Recipe
from ruxa_async.errors import DownloadError, RuxaError
from ruxa_async.tasks import Task

__all__ = ["Failed", "Job", "Outcome", "Succeeded", "Uncertain", "Unfinished"]


@frozen
class Job:
    """A recipe under a name of your own."""

    #: Unique within the batch; it stands in every outcome.
    key: str
    recipe: Recipe
    #: Anything of yours that should come back with the outcome; it is never sent.
    context: Any = field(default=None, repr=False)


@frozen
class Succeeded:
    """The task is done."""

    job: Job
    task: Task
    #: The downloaded files, where the batch was told to download.
    paths: tuple[Path, ...] = ()
    #: Why the files are not there; the task is done all the same, and its links are in `task`.
    download_error: DownloadError | None = None


@frozen
class Failed:
    """The job came to nothing; nothing of it is running."""

    job: Job
    error: RuxaError


@frozen
class Uncertain:
    """Sent, but no answer: the job may have been accepted and paid for. It is not sent again."""

    job: Job
    error: RuxaError


@frozen
class Unfinished:
    """Paid for and perhaps still running; nobody watches it any more."""

    job: Job
    task: Task
    error: RuxaError


Outcome: TypeAlias = Succeeded | Failed | Uncertain | Unfinished
