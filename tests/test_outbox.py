"""What an answer to a create means for its job."""

import pytest

from ruxa_async.errors import (
    AuthenticationError,
    ConfigurationError,
    ConnectError,
    GenerationFailedError,
    InsufficientCreditsError,
    InvalidRequestError,
    ModelUnavailableError,
    PayloadError,
    RateLimitError,
    ResponseError,
    UncertainError,
)
from ruxa_async.lane import NotWantedError
from ruxa_async.outbox import move_of
from ruxa_async.policy.lifecycle import Move


@pytest.mark.parametrize(
    ("error", "move"),
    [
        # Nothing was accepted, and another day it may be.
        (ConnectError("no"), Move.REFUSE),
        (ConfigurationError("closed"), Move.REFUSE),
        (NotWantedError(), Move.REFUSE),
        (RateLimitError("no", status=429), Move.REFUSE),
        (AuthenticationError("no", status=401), Move.REFUSE),
        (InsufficientCreditsError("no", status=402), Move.REFUSE),
        (ModelUnavailableError("no", status=404), Move.REFUSE),
        (InvalidRequestError("there is no such file"), Move.REFUSE),
        # Ruxa has said no to this very job.
        (InvalidRequestError("no", status=422), Move.FAIL),
        (GenerationFailedError("no", status=501), Move.FAIL),
        (ResponseError("no", status=418), Move.FAIL),
        # Anything else may have been accepted.
        (UncertainError("lost"), Move.LOSE),
        (PayloadError("garbage"), Move.LOSE),
        (ZeroDivisionError(), Move.LOSE),
    ],
)
def test_what_an_error_means(error: Exception, move: Move) -> None:
    """Only a certain no ends a job or gives it back; all that is not certain is uncertain."""
    assert move_of(error) is move
