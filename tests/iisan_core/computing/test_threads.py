import pytest
import torch

from iisan_core.computing import threads
from iisan_core.computing.threads import RETRY_SECONDS, TRIES, WATCHED, SuitableThreads


class Machine:
    """A clock that work moves on: a step takes what `seconds` says for the threads that torch has."""

    def __init__(self, seconds):
        self.seconds, self.now, self.steps = seconds, 0.0, []

    def perf_counter(self):
        return self.now

    monotonic = perf_counter

    def work(self, suitable, steps=1):
        for _ in range(steps):
            with suitable.step():
                self.steps.append(torch.get_num_threads())
                self.now += self.seconds[torch.get_num_threads()]


@pytest.fixture
def machine(monkeypatch):
    before = torch.get_num_threads()

    def make(seconds):
        made = Machine(seconds)
        monkeypatch.setattr(threads, "time", made)
        return made

    yield make
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [
        ({1: 1.0, 2: 0.6}, 2),
        ({1: 1.0, 2: 0.95}, 1),
        ({1: 1.0, 2: 15.0}, 1),
        ({1: 1.0, 2: 0.55, 4: 0.3, 6: 0.29}, 4),
        ({1: 1.0, 2: 0.6, 4: 0.4, 6: 0.2}, 6),
    ],
)
def test_the_fewest_threads_that_are_about_the_quickest(machine, seconds, chosen):
    alone = machine(seconds)
    with SuitableThreads(most=max(seconds)) as suitable:
        alone.work(suitable, 50)
        assert suitable.chosen == torch.get_num_threads() == chosen
        assert suitable.news().startswith(f"{chosen} of {max(seconds)} threads compute")
        assert suitable.news() == "", "said once"


def test_what_is_hopeless_is_given_up_soon(machine):
    busy = machine({1: 1.0, 2: 15.0})
    with SuitableThreads(most=2) as suitable:
        busy.work(suitable, 40)
    assert busy.steps.count(2) == 3 < TRIES


def test_numbers_are_tried_again_where_steps_slow_down(machine):
    place = machine({1: 1.0, 2: 0.6})
    with SuitableThreads(most=2) as suitable:
        place.work(suitable, 20)
        assert suitable.chosen == 2
        place.seconds = {1: 1.1, 2: 9.0}
        place.work(suitable, WATCHED + int(RETRY_SECONDS) + 20)
        assert suitable.chosen == 1
        assert "1 of 2 threads compute" in suitable.news()


def test_steady_steps_are_left_alone(machine):
    steady = machine({1: 1.0, 2: 0.6})
    with SuitableThreads(most=2) as suitable:
        steady.work(suitable, 500)
    assert steady.steps.count(1) == TRIES + 1


def test_torch_has_its_threads_back(machine):
    machine({1: 1.0, 2: 1.0, 3: 1.0})
    torch.set_num_threads(2)
    with SuitableThreads(most=3):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2


def test_a_number_that_is_given_stays(machine):
    slow = machine({1: 1.0, 3: 40.0})
    with SuitableThreads(fewest=3, most=3) as suitable:
        slow.work(suitable, 100)
    assert set(slow.steps) == {3}
    assert suitable.news() == ""


def test_a_step_that_fails_does_not_count(machine):
    place = machine({1: 1.0, 2: 0.5})
    with SuitableThreads(most=2) as suitable:
        for _ in range(3 * TRIES):
            with pytest.raises(ZeroDivisionError), suitable.step():
                1 / 0  # noqa: B018
        assert suitable.chosen is None
        place.work(suitable, 20)
        assert suitable.chosen == 2
