"""Everything about the sandbox that can be other than it is."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

from attrs import Attribute, field, frozen
from attrs.validators import and_, ge, gt, in_, le, optional

from ruxa_async.testing.limits import WindowKind
from ruxa_async.testing.voice import ErrorStyle, Wording
from ruxa_async.wire.signature import RAW_BODY, Scheme

__all__ = ["FakeSettings"]

#: What the models cost in credits; made up, but for sora-2, which an error message of Ruxa's names.
_PRICES: Mapping[str, float] = {
    "sora-2": 3.0,
    "sora-2-hd": 6.0,
    "nano-banana": 0.5,
    "nano-banana-edit": 0.5,
    "nano-banana-pro": 1.0,
}


def _some(_: object, attribute: "Attribute[Any]", value: int | None) -> None:
    if value is not None and value < 1:
        raise ValueError(f"{attribute.name} must be at least 1, or None: {value}")


@frozen(kw_only=True)
class FakeSettings:
    """How a `FakeRuxa` behaves; the defaults are a quiet account on a good day.

    All times are in seconds of Ruxa's life: `speed` shortens every one of them alike.

    Raises:
        ValueError: a value is out of its range.
    """

    # The account.

    #: The keys that are let in. All belong to one account: its credits and limits are shared.
    keys: frozenset[str] = frozenset({"sk-sandbox"})
    #: What the account has.
    credits: float = field(default=math.inf, validator=ge(0))
    #: Credits for each create, by model (without ``google/``); any other model costs 1.
    prices: Mapping[str, float] = _PRICES

    # The limits. Ruxa documents no numbers; these are those of kie.ai, whose shape it follows.

    #: How creates are counted.
    window: WindowKind = field(
        default="sliding", validator=in_(("sliding", "fixed", "token_bucket"))
    )
    #: Creates per `per` seconds; None: any number.
    limit: int | None = field(default=20, validator=_some)
    per: float = field(default=10.0, validator=gt(0))
    #: Whether a create that is refused counts as well.
    refused_count: bool = False
    #: Tasks that may run at the same time; None: any number.
    cap: int | None = field(default=100, validator=_some)
    #: Queries per `query_per` seconds; None: any number.
    query_limit: int | None = field(default=None, validator=_some)
    query_per: float = field(default=1.0, validator=gt(0))
    #: What the header ``Retry-After`` of a refusal says; None: no such header.
    retry_after: float | None = field(default=None, validator=optional(ge(0)))

    # The tasks.

    #: The median of their durations, which are lognormal.
    duration: float = field(default=60.0, validator=gt(0))
    #: The standard deviation of the durations' logarithm; 0: all alike.
    sigma: float = field(default=0.35, validator=ge(0))
    #: The share of tasks that fail, 0 to 1.
    failure_rate: float = field(default=0.0, validator=and_(ge(0), le(1)))
    #: Which prompts fail; None: none because of its prompt.
    fail_when: Callable[[str], bool] | None = None
    #: How the query of a failed task answers: with the state ``fail``, or with the code 501.
    failure_style: Literal["state", "501"] = field(default="state", validator=in_(("state", "501")))
    #: How long after its create a task is not yet found by a query.
    visible_after: float = field(default=0.0, validator=ge(0))

    # What Ruxa's pages disagree on.

    wording: Wording = field(default="seed", validator=in_(("seed", "docs", "blog")))
    error_style: ErrorStyle = field(default="http", validator=in_(("http", "body")))
    #: Whether the parameters of the sora models stand beside ``model`` or under ``input``.
    sora_layout: Literal["flat", "nested"] = field(
        default="flat", validator=in_(("flat", "nested"))
    )
    #: The field that asks for a callback.
    callback_field: Literal["callBackUrl", "callback_url"] = field(
        default="callBackUrl", validator=in_(("callBackUrl", "callback_url"))
    )
    #: How often each callback is delivered.
    callback_copies: int = field(default=1, validator=ge(1))
    #: Whether what a callback says stands in an envelope, as answers do, or is all there is.
    callback_envelope: bool = False
    #: What callbacks are signed with, over a socket; None: nothing.
    callback_secret: str | None = field(default=None, repr=False)
    #: In which way; Ruxa documents no more than a header's name.
    callback_scheme: Scheme = RAW_BODY
    #: Whether fields that are not documented pass.
    allow_unknown: bool = False
    #: Models that are served with whatever parameters.
    extra_models: frozenset[str] = frozenset()

    #: How many times faster than life everything goes.
    speed: float = field(default=1.0, validator=gt(0))

    def price(self, model: str) -> float:
        """Return the credits that a create costs.

        Args:
            model: its name, with or without ``google/``.
        """
        return self.prices.get(model.removeprefix("google/"), 1.0)
