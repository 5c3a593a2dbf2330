"""How long one request may take."""

from attrs import field, frozen
from attrs.validators import gt

__all__ = ["Timeouts"]


@frozen
class Timeouts:
    """The patience of one request, in seconds; each is greater than zero.

    Args:
        connect: until the connection stands, name lookup and TLS included.
        read: between two pieces of the answer.
        total: for the whole request; a create that takes longer is uncertain, not failed.
    """

    connect: float = field(default=10.0, validator=gt(0))
    read: float = field(default=60.0, validator=gt(0))
    total: float = field(default=120.0, validator=gt(0))
