"""The life of a job: what may follow what, and nothing else."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ruxa_async.policy import lifecycle
from ruxa_async.policy.lifecycle import TABLE, IllegalMoveError, JobState, Move, after

ENDED = {JobState.SUCCEEDED, JobState.FAILED, JobState.ABANDONED}


def test_the_drawing_is_the_table() -> None:
    """The diagram in the module's docstring is what is drawn from the table."""
    assert f"```\n{lifecycle.draw()}\n```" in (lifecycle.__doc__ or "")


def test_ended_states_are_final() -> None:
    """Succeeded, failed and abandoned are the end, and nothing else is."""
    assert {state for state in JobState if state.ended} == ENDED
    for state, move in itertools.product(ENDED, Move):
        with pytest.raises(IllegalMoveError, match="that is final"):
            after(state, move)


@pytest.mark.parametrize("move", set(Move) - set(TABLE[JobState.UNCERTAIN]))
def test_what_is_uncertain_is_not_sent(move: Move) -> None:
    """Only a person, or a callback, moves an uncertain job; the error says what is possible."""
    with pytest.raises(IllegalMoveError, match=f"cannot {move}: it can adopt, retry, abandon"):
        after(JobState.UNCERTAIN, move)


@given(st.lists(st.sampled_from(Move)))
def test_no_two_sends_without_a_word_between(moves: list[Move]) -> None:
    """Whatever is asked for, a job is sent again only after a refusal, or by a person's word."""
    state, done = JobState.QUEUED, list[Move]()
    for move in moves:
        try:
            state = after(state, move)
        except IllegalMoveError:
            continue
        done.append(move)
    sends = [index for index, move in enumerate(done) if move is Move.SEND]
    for first, second in itertools.pairwise(sends):
        between = set(done[first:second])
        assert between & {Move.REFUSE, Move.RETRY}
        assert Move.ACCEPT not in between
