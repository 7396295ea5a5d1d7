"""Functions that take turns: the order, what a thread keeps, and errors."""

import threading

import pytest
import torch

from firebox.engine.training.processes.turns import Turns

CPU = torch.device("cpu")


def taking_turns(count, said):
    return Turns(count, CPU, enter=lambda n: said.append(f"+{n}"), leave=lambda n: said.append(f"-{n}"))


def test_each_runs_until_it_hands_over_then_the_next_one_does():
    said = []
    turns = taking_turns(3, said)

    def step(number):
        for part in range(2):
            said.append(f"{number}.{part}")
            turns.hand_over()
        return number

    for _ in range(2):  # the threads serve every iteration
        said.clear()
        assert turns.run([lambda n=n: step(n) for n in range(3)]) == [0, 1, 2]
        expected = [f"+{n} {n}.{part} -{n}" for part in range(2) for n in range(3)] + [f"+{n} -{n}" for n in range(3)]
        assert " ".join(said) == " ".join(expected)
    turns.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("firebox-shard")]
    assert turns.run([lambda: 1, lambda: 2, lambda: 3]) == [1, 2, 3], "with new threads"
    turns.close()


def test_a_single_function_has_no_thread_and_hands_over_to_itself():
    said = []
    turns = taking_turns(1, said)
    assert turns.run([turns.hand_over]) == [None]
    assert said == ["+0", "-0", "+0", "-0"]
    assert turns._threads == []


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_an_error_in_one_ends_all(failing):
    turns, unwound = taking_turns(3, []), []

    def step(number):
        try:
            turns.hand_over()
            if number == failing:
                raise ValueError(f"step {number}")
            turns.hand_over()
        finally:
            unwound.append(number)

    with pytest.raises(ValueError, match=f"step {failing}"):
        turns.run([lambda n=n: step(n) for n in range(3)])
    assert sorted(unwound) == [0, 1, 2]
    turns.close()


def test_each_keeps_its_own_autocast_over_its_turns():
    turns, dtypes = taking_turns(2, []), []
    product = torch.ones(2, 2)

    def step(dtype):
        with torch.autocast("cpu", dtype, enabled=dtype is not None):
            turns.hand_over()
            dtypes.append((product @ product).dtype)

    turns.run([lambda: step(torch.bfloat16), lambda: step(None)])
    turns.close()
    assert dtypes == [torch.bfloat16, torch.float32]
