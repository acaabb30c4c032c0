"""Work divided over processes: in order, the same for any number, and none waits for one that has failed."""

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from phf.errors import ConfigError, MissingExtraError, OutputError, PeerError
from phf.sampling import agreement
from phf.sampling.agreement import check_same_folder, check_same_start
from phf.sampling.division import ALONE, Division
from phf.sampling.peers import Notice
from phf.workers import interruption
from phf.workers.interruption import WorkInterrupted

SECONDS = 10
"""In which a test that waits for ever fails."""


def in_processes(number, work):
    """What `work(division)` returns, or raises, in each of `number` processes, played by threads."""
    barrier, slots = threading.Barrier(number, timeout=SECONDS), [None] * number

    def exchanging(index):
        def exchange(value):
            slots[index] = value
            barrier.wait()
            values = list(slots)
            barrier.wait()
            return values

        return Division(index, number, exchange)

    def run(index):
        try:
            return work(exchanging(index))
        except (Exception, WorkInterrupted) as error:  # noqa: BLE001
            return error

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(run, range(number)))


@pytest.mark.parametrize("number", [1, 2, 3, 8])
def test_results_come_in_the_order_of_the_items_in_every_process(number):
    done = []

    def work(division):
        def square(item):
            done.append((division.index, item))
            return item * item

        return division.map(square, [3, 1, 2, 5, 4], "work", lambda item: 1)

    assert in_processes(number, work) == [[9, 1, 4, 25, 16]] * number
    assert sorted(item for _, item in done) == [1, 2, 3, 4, 5]  # none is done twice
    assert {index for index, _ in done} == set(range(min(number, 5)))


def test_an_empty_list_of_items_causes_no_work():
    assert ALONE.map(str, [], "work", len) == []
    assert in_processes(2, lambda division: division.map(str, [], "work", len)) == [[], []]


def test_an_error_of_one_is_raised_in_all_with_its_class_and_text():
    def work(division):
        def fail(item):
            if item == 1:
                raise ConfigError("dataset.seq_length is 0.")
            return item

        return division.map(fail, [0, 1, 2], "work", lambda item: 1)

    errors = in_processes(3, work)
    assert [(type(error), str(error)) for error in errors] == [(ConfigError, "dataset.seq_length is 0.")] * 3
    assert all(error.is_shared for error in errors)


def test_an_error_whose_class_makes_its_own_message_travels_too():
    def work(division):
        with division.together():
            if division.index:
                raise MissingExtraError("tables", "pandas", "report")

    first, second = in_processes(2, work)
    assert type(first) is MissingExtraError
    assert str(first) == str(second)


def test_a_mistake_in_the_program_ends_the_others_with_the_number_of_the_process():
    def work(division):
        with division.together():
            if division.index == 1:
                raise ZeroDivisionError("by zero")

    first, second, third = in_processes(3, work)
    assert type(second) is ZeroDivisionError
    assert type(first) is type(third) is PeerError
    assert str(first).startswith("Process 1 of this job failed, and with it the job: ZeroDivisionError: by zero")


def interrupted_at(index, item):
    """Work in which a signal comes in one process."""

    def work(division):
        def double(number):
            if (division.index, number) == (index, item):
                raise WorkInterrupted(15)
            return 2 * number

        with division.together():
            return division.map(double, list(range(6)), "work", lambda item: 1)

    return work


@pytest.mark.parametrize("number", [1, 2, 3])
def test_work_that_a_signal_interrupts_in_one_process_is_left_by_all(number):
    errors = in_processes(number, interrupted_at(number - 1, number - 1))
    assert [(type(error), error.signum) for error in errors] == [(WorkInterrupted, 15)] * number


def test_an_error_of_another_process_comes_before_an_interruption():
    def work(division):
        with division.together():
            raise WorkInterrupted(15) if division.index else ConfigError("dataset.seq_length is 0.")

    assert [str(error) for error in in_processes(3, work)] == ["dataset.seq_length is 0."] * 3


def test_two_signals_are_one_the_same_in_all_processes():
    def work(division):
        with division.together():
            if division.index:
                raise WorkInterrupted((10, 15)[division.index - 1])

    assert [error.signum for error in in_processes(3, work)] == [15] * 3


class SharedNotice(Notice):
    signum = 0

    def read(self):
        return self.signum

    def give(self, signum):
        type(self).signum = signum


def test_a_process_begins_no_more_work_once_another_was_sent_a_signal(monkeypatch):
    monkeypatch.setattr(SharedNotice, "signum", 0)
    done, given = [], threading.Event()

    def work(division):
        division = dataclasses.replace(division, notice=SharedNotice())

        def item(number):
            if division.index:
                raise WorkInterrupted(15)
            given.wait(SECONDS)
            done.append(number)

        if division.index:
            division.notice.give = lambda signum: (SharedNotice.give(division.notice, signum), given.set())
        return division.map(item, list(range(100)), "work", lambda item: 1)

    monkeypatch.setattr(interruption, "_requests", interruption.Requests())
    errors = in_processes(2, work)
    assert [error.signum for error in errors] == [15, 15]
    assert done == [0]
    # where signals are not remembered, nothing would save the state: the notice means nothing
    monkeypatch.setattr(interruption, "_requests", None)
    with interruption.interruptible(SharedNotice().read):
        pass


def test_blocks_inside_one_another_exchange_an_error_once():
    """One process fails where the other is inside an exchange of its own: neither waits for the other."""

    def work(division):
        with division.together(), division.together():
            if division.index == 1:
                raise OutputError("full")
            return division.from_main(lambda: 1)

    assert [(type(error), str(error)) for error in in_processes(2, work)] == [(OutputError, "full")] * 2


def test_an_interruption_is_not_exchanged():
    exchanged = []
    division = Division(0, 2, exchanged.append)
    with pytest.raises(KeyboardInterrupt), division.together():
        raise KeyboardInterrupt
    with pytest.raises(PeerError), division.together():  # there may be nobody to exchange it with
        raise PeerError("gone")
    assert exchanged == []


def test_the_main_process_answers_for_all_and_goes_first():
    numbers = count()
    assert in_processes(3, lambda division: division.from_main(lambda: next(numbers))) == [0] * 3
    turns = []

    def work(division):
        division.main_first(lambda: turns.append(division.index))

    in_processes(3, work)
    assert turns[0] == 0
    assert sorted(turns) == [0, 1, 2]


def test_what_the_main_process_fails_to_prepare_is_not_tried_by_the_others():
    tried = []

    def work(division):
        def fail():
            tried.append(division.index)
            raise OutputError("full")

        division.main_first(fail)

    assert [type(error) for error in in_processes(2, work)] == [OutputError] * 2
    assert tried == [0]


def test_processes_that_were_started_differently_say_where():
    def work(division):
        facts = {"configuration": {"training": {"seed": 7 if division.index == 2 else 0}}}
        check_same_start(division, facts)

    errors = in_processes(3, work)
    message = "Process 2 was not started like process 0: configuration.training.seed: 0 -> 7"
    assert [str(error).startswith(message) for error in errors] == [True] * 3
    assert [type(error) for error in errors] == [ConfigError] * 3
    assert in_processes(2, lambda division: check_same_start(division, {"seed": 1})) == [None, None]


def test_a_folder_that_one_machine_does_not_see_is_refused_by_all(tmp_path, monkeypatch):
    """It would resume from another step than the others."""
    monkeypatch.setattr(agreement, "SECONDS_UNTIL_SEEN", 0.0)

    def work(division):
        check_same_folder(division, tmp_path if division.is_main else tmp_path / "elsewhere")

    errors = in_processes(2, work)
    assert [type(error) for error in errors] == [OutputError] * 2
    assert "Process 1 does not see" in str(errors[0])
    assert "file system that all machines of the job share" in str(errors[0])
