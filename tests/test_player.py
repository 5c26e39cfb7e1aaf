"""The player, under a clock that the test moves, without any socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from pytest_binance_replay.cassette import Frame
from pytest_binance_replay.clock import ManualClock
from pytest_binance_replay.errors import CassetteFormatError, TapeEndedError
from pytest_binance_replay.goals import ToCount, ToFrame, ToTheEnd, ToTime
from pytest_binance_replay.pacing import AutoPace, FastPace, ScaledPace
from pytest_binance_replay.player import Player, Speed, pace_for
from pytest_binance_replay.wire import Block
from tests.staging import (
    SECOND_US,
    START_US,
    connect,
    frames_at,
    lay_tape,
    make_player,
)

pytestmark = pytest.mark.asyncio


def take_turns(player: Player) -> int | None:
    """Let the player do what it can without time passing; when it wants to go on."""
    while (again_us := player.turn()) is not None:
        if again_us > player.clock.now_us():
            return again_us
    return None


def frame_at(block: Block, index: int) -> Frame:
    return Frame(block.times_us[index], block.keys[index].decode(), b"")


def pass_time(player: Player, seconds: float) -> None:
    clock = player.clock
    assert isinstance(clock, ManualClock)
    clock.advance(round(seconds * SECOND_US))


def catch_up(player: Player) -> None:
    """Let every client have what was released."""
    for client in player.hub.clients:
        client.cursor = player.tape.released


@pytest.mark.parametrize(
    ("speed", "pace"),
    [("auto", AutoPace), ("asap", FastPace), (2, ScaledPace), (0.5, ScaledPace)],
)
async def test_each_speed_has_its_pace(speed: Speed, pace: type) -> None:
    assert type(pace_for(speed)) is pace


async def test_asap_plays_to_the_end() -> None:
    player = make_player(lay_tape(frames_at(range(10)), block_frames=3))
    run = player.play(ToTheEnd())
    assert take_turns(player) is None
    assert run.done.result() is None
    assert player.tape.released == 10
    assert player.ended


async def test_without_an_order_nothing_is_released() -> None:
    player = make_player(lay_tape(frames_at(range(3))))
    assert player.turn() is None
    assert player.tape.released == 0


async def test_at_speed_1_a_frame_is_released_exactly_when_due() -> None:
    player = make_player(lay_tape(frames_at([0, 1, 1.5])), speed=1)
    player.play(ToTheEnd())
    assert take_turns(player) == SECOND_US
    pass_time(player, 0.999_999)
    take_turns(player)
    assert player.tape.released == 1
    pass_time(player, 0.000_001)
    assert take_turns(player) == 1.5 * SECOND_US
    assert player.tape.released == 2


async def test_lateness_does_not_add_up() -> None:
    player = make_player(lay_tape(frames_at(range(10))), speed=1)
    player.play(ToTheEnd())
    take_turns(player)
    pass_time(player, 5.7)
    assert take_turns(player) == 6 * SECOND_US
    assert player.tape.released == 6


async def test_a_pause_keeps_the_time_that_has_passed() -> None:
    player = make_player(lay_tape(frames_at([0, 10])), speed=1)
    first = player.play(ToTheEnd())
    take_turns(player)
    pass_time(player, 4)
    player.pause()
    assert first.done.done()
    pass_time(player, 100)
    player.play(ToTheEnd())
    assert take_turns(player) == (104 + 6) * SECOND_US


async def test_a_new_speed_goes_on_from_where_the_tape_stands() -> None:
    player = make_player(lay_tape(frames_at([0, 10])), speed=1)
    run = player.play(ToTheEnd())
    take_turns(player)
    pass_time(player, 4)
    player.speed = 2
    assert take_turns(player) == (4 + 3) * SECOND_US
    assert not run.done.done()
    pass_time(player, 3)
    take_turns(player)
    assert run.done.done()


async def test_a_new_speed_does_not_start_a_tape() -> None:
    player = make_player(lay_tape(frames_at(range(3))))
    player.speed = 10
    assert player.speed == 10
    assert player.turn() is None


async def test_a_new_speed_does_not_slow_down_a_step() -> None:
    player = make_player(lay_tape(frames_at(range(10))), speed=1)
    run = player.release(ToCount(5))
    player.speed = 0.001
    take_turns(player)
    assert run.done.done()
    assert player.tape.released == 5


@pytest.mark.parametrize("speed", ["asap", 1])
async def test_a_step_skips_recorded_gaps(speed: Speed) -> None:
    player = make_player(lay_tape(frames_at(range(10))), speed=speed)
    player.release(ToCount(7))
    assert take_turns(player) is None
    assert player.tape.released == 7


async def test_a_step_at_auto_keeps_the_auto_pace() -> None:
    player = make_player(lay_tape(frames_at(range(100))), speed="auto")
    connect(player.hub)
    player.release(ToCount(100))
    assert take_turns(player) is not None
    assert player.tape.released == 50


async def test_an_order_takes_the_place_of_the_one_under_way() -> None:
    player = make_player(lay_tape(frames_at(range(10))), speed=1)
    first = player.play(ToTheEnd())
    second = player.play(ToTime(START_US))
    take_turns(player)
    assert first.done.result() is None
    assert second.done.result() is None
    assert player.tape.released == 1


async def test_a_goal_before_the_next_frame_is_reached_at_once() -> None:
    player = make_player(lay_tape(frames_at([0, 10])))
    run = player.play(ToTime(START_US - 1))
    take_turns(player)
    assert run.done.done()
    assert player.tape.released == 0


async def test_the_end_is_an_error_for_a_goal_behind_it() -> None:
    player = make_player(lay_tape(frames_at(range(3))))
    run = player.play(ToCount(4))
    take_turns(player)
    with pytest.raises(TapeEndedError, match="ended after 3 frames, before 1 more"):
        run.done.result()


async def test_playing_on_at_the_end_is_done_at_once() -> None:
    player = make_player(lay_tape([]))
    for _ in range(2):
        run = player.play(ToTheEnd())
        take_turns(player)
        assert run.done.result() is None


async def test_the_end_is_told_once() -> None:
    told: list[int] = []
    player = make_player(lay_tape(frames_at(range(3))))
    player.on_end = lambda: told.append(player.tape.released)
    for _ in range(3):
        player.play(ToTheEnd())
        take_turns(player)
    assert told == [3]


async def test_the_end_is_noticed_with_the_last_frame_of_a_step() -> None:
    player = make_player(lay_tape(frames_at(range(3))))
    run = player.release(ToCount(3))
    take_turns(player)
    assert run.done.result() is None
    assert player.ended


async def test_advancing_moves_the_tapes_own_time_on_between_frames() -> None:
    player = make_player(lay_tape(frames_at([0, 10])), speed=1)
    for _ in range(9):
        player.advance(SECOND_US)
        take_turns(player)
        assert player.tape.released == 1
    player.advance(SECOND_US)
    take_turns(player)
    assert player.tape.released == 2


async def test_advancing_counts_from_the_time_a_tape_under_way_has_reached() -> None:
    player = make_player(lay_tape(frames_at([0, 10])), speed=1)
    player.play(ToTheEnd())
    take_turns(player)
    pass_time(player, 9)
    player.advance(SECOND_US)
    take_turns(player)
    assert player.tape.released == 2


async def test_an_overtaken_advance_leaves_time_where_it_was() -> None:
    player = make_player(lay_tape(frames_at([0, 10, 20])), speed=1)
    player.advance(15 * SECOND_US)
    player.pause()
    assert player.due_us == START_US


async def test_winding_back_lets_everybody_start_again() -> None:
    player = make_player(lay_tape(frames_at(range(5))))
    client = connect(player.hub)
    run = player.play(ToTheEnd())
    take_turns(player)
    client.stop_at = 4
    player.tape.seek_frame(2)
    player.moved()
    assert client.cursor == 2
    assert not client.stop_at
    assert run.done.done()
    assert not player.ended
    assert player.due_us == START_US + 2 * SECOND_US


async def test_a_predicate_is_asked_about_each_frame_and_stops_there() -> None:
    asked: list[int] = []

    def is_third(frame: Frame) -> bool:
        asked.append(frame.receive_time_us)
        return len(asked) == 3

    player = make_player(lay_tape(frames_at(range(10)), block_frames=2))
    player.play(ToFrame(is_third, frame_at))
    take_turns(player)
    assert player.tape.released == 3
    assert asked == [START_US + n * SECOND_US for n in range(3)]


async def test_the_error_of_a_predicate_ends_its_order_and_no_more() -> None:
    def fails(frame: Frame) -> bool:
        raise ZeroDivisionError

    player = make_player(lay_tape(frames_at(range(3))))
    run = player.play(ToFrame(fails, frame_at))
    take_turns(player)
    with pytest.raises(ZeroDivisionError):
        run.done.result()
    assert player.failure is None
    after = player.play(ToTheEnd())
    take_turns(player)
    assert after.done.result() is None


async def test_a_tape_that_cannot_be_read_on_fails_the_order_that_gets_there() -> None:
    broken = CassetteFormatError("dip.jsonl", 4, "not a cassette line")
    player = make_player(lay_tape(frames_at(range(3)), fail=broken))
    fine = player.play(ToCount(3))
    take_turns(player)
    assert fine.done.result() is None
    assert not player.failure
    for _ in range(2):
        run = player.play(ToTheEnd())
        player._guarded_turn()
        assert run.done.exception() is broken
    assert player.failure is broken
    assert not player.ended


async def test_a_tape_that_cannot_be_read_at_all_says_so_and_can_be_left() -> None:
    broken = CassetteFormatError("dip.jsonl", 1, "not a cassette line")
    player = make_player(lay_tape([], fail=broken), speed=1)
    run = player.play(ToTheEnd())
    player._guarded_turn()
    assert run.done.exception() is broken
    assert player.due_us == 0


async def test_a_tape_runs_a_few_blocks_ahead_of_the_fastest_client() -> None:
    player = make_player(lay_tape(frames_at(range(100)), block_frames=10))
    connect(player.hub)
    fast = connect(player.hub)
    player.play(ToTheEnd())
    take_turns(player)
    assert player.held_up
    assert player.tape.released == 40
    fast.cursor = 40
    take_turns(player)
    assert player.tape.released == 80


async def test_a_tape_that_stalls_waits_for_the_slowest_client() -> None:
    player = make_player(
        lay_tape(frames_at(range(30)), block_frames=10), speed=1, lag="stall"
    )
    slow, fast = connect(player.hub), connect(player.hub)
    player.play(ToTheEnd())
    take_turns(player)
    pass_time(player, 100)
    fast.cursor = 1
    assert take_turns(player) is None
    assert player.tape.released == 1
    slow.cursor = 1
    take_turns(player)
    assert player.tape.released == 10


async def test_clients_that_keep_up_do_not_hold_the_tape() -> None:
    player = make_player(lay_tape(frames_at(range(30)), block_frames=10), lag="stall")
    connect(player.hub)
    player.on_release = lambda: catch_up(player)
    run = player.play(ToTheEnd())
    take_turns(player)
    assert run.done.done()


async def test_the_loop_wakes_at_the_due_time_and_at_every_poke() -> None:
    player = make_player(lay_tape(frames_at([0, 1])), speed=1)
    released: asyncio.Queue[int] = asyncio.Queue()
    player.on_release = lambda: released.put_nowait(player.tape.released)
    loop = asyncio.create_task(player.run())
    run = player.play(ToTheEnd())
    assert await released.get() == 1
    player.poke()
    pass_time(player, 1)
    assert await released.get() == 2
    await run.done
    loop.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loop


async def test_the_loop_outlives_an_error() -> None:
    broken = CassetteFormatError("dip.jsonl", 4, "not a cassette line")
    player = make_player(lay_tape(frames_at(range(3)), fail=broken))
    loop = asyncio.create_task(player.run())
    with pytest.raises(CassetteFormatError, match=r"dip\.jsonl:4"):
        await player.play(ToTheEnd()).done
    player.tape.seek_frame(0)
    player.moved()
    await player.play(ToCount(2)).done
    assert player.tape.released == 2
    loop.cancel()


async def test_an_order_is_finished_once() -> None:
    player = make_player(lay_tape(frames_at(range(3))))
    run = player.play(ToTheEnd())
    run.finish()
    run.finish(ZeroDivisionError())
    assert run.done.result() is None


@pytest.mark.parametrize(
    "order",
    [
        lambda player: player.play(ToTheEnd()),
        lambda player: player.advance(100 * SECOND_US),
        lambda player: player.release(ToCount(10)),
    ],
    ids=["play", "advance", "step"],
)
async def test_what_is_released_is_the_same_whatever_the_order(
    order: Callable[[Player], object],
) -> None:
    player = make_player(lay_tape(frames_at(range(10)), block_frames=4), speed=1)
    order(player)
    for _ in range(10):
        take_turns(player)
        pass_time(player, 1)
    assert player.tape.released == 10
