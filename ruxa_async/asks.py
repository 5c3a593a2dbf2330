"""WHAT IS ASKED OF RUXA: a create or a query in its turn, and what is done with the answer."""

from attrs import define

from ruxa_async.outbox import Record
from ruxa_async.tasks import Task
from ruxa_async.turns import Turn
from ruxa_async.wire.answers import read_create, read_query
from ruxa_async.wire.messages import Request, Response

__all__ = ["Create", "Query"]


@define(eq=False, kw_only=True)
class Create(Turn):
    """A create, and what is done with it."""

    request: Request
    #: Of its recipe.
    kind: tuple[str, str]
    #: Whether a callback should tell that its task has ended.
    called_back: bool
    #: Where its life is written down, before and after each time it is sent.
    record: Record | None

    def read(self, response: Response) -> Task:
        """Return the task that was created; see `read_create`.

        Args:
            response: to this request.
        """
        return read_create(response)


@define(eq=False, kw_only=True)
class Query(Turn):
    """A query, and what is done with it."""

    request: Request
    task_id: str

    def read(self, response: Response) -> Task:
        """Return the task as it stands; see `read_query`.

        Args:
            response: to this request.
        """
        return read_query(response, self.task_id)
