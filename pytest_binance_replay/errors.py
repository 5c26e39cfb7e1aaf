"""Every exception and warning of the package, each building its own sentence.

Facts are passed to the constructor and kept as attributes, so that errors can be
inspected, pickled (pytest-xdist does) and asserted on in full.
"""

from __future__ import annotations

from typing import Any


class ReplayError(Exception):
    """Base of all errors this package raises on purpose."""

    def __reduce__(self) -> tuple[type[ReplayError], tuple[Any, ...]]:
        """Rebuild from the facts, whatever the built-in base would do."""
        return type(self), getattr(self, "facts", self.args)


class BinanceReplayWarning(UserWarning):
    """Base of all warnings this package emits."""


class CassetteLineError(ReplayError, ValueError):
    """A piece of text is not a cassette line.

    Attributes:
        problem: What is wrong with it, without a final full stop.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return f"not a cassette line: {self.problem}"


class CaptureLineError(ReplayError, ValueError):
    """A piece of somebody else's capture is not of the form that the rest is of.

    Attributes:
        problem: What is wrong with it, without a final full stop.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return f"not a line of this capture: {self.problem}"


class CassetteFormatError(ReplayError, ValueError):
    """A cassette file holds something that cannot be played.

    Attributes:
        path: The file, as the user knows it.
        line: Line number, from 1; 0 where the file as a whole is meant.
        problem: What is wrong, without a final full stop.
        advice: What to do, a sentence.
    """

    def __init__(
        self,
        path: str,
        line: int,
        problem: str,
        advice: str = "Restore it from git, or cut it out.",
    ) -> None:
        super().__init__(path, line, problem, advice)
        self.path = path
        self.line = line
        self.problem = problem
        self.advice = advice

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}" if self.line else self.path
        return f"{where}: {self.problem}. {self.advice}"


class JsonTextError(ReplayError, ValueError):
    """A text that a client sent is not JSON.

    Attributes:
        reason: What is wrong, in the words of the exchange's own parser.
        line: Number of the line, from 1.
        column: Bytes of that line read so far; 0 before the first.
    """

    def __init__(self, reason: str, line: int, column: int) -> None:
        super().__init__(reason, line, column)
        self.reason = reason
        self.line = line
        self.column = column

    def __str__(self) -> str:
        return f"{self.reason} at line {self.line} column {self.column}"


class EventError(ReplayError, ValueError):
    """A payload is not the event that its stream promises.

    Attributes:
        stream: The frame's stream name; None where the text came without one.
        problem: Field, value and what was expected, without a final full stop.
    """

    def __init__(self, stream: str | None, problem: str) -> None:
        super().__init__(stream, problem)
        self.stream = stream
        self.problem = problem

    def __str__(self) -> str:
        if self.stream is None:
            return f"The text is not an event: {self.problem}. Correct it."
        return (
            f"A frame of {self.stream!r} is not an event: {self.problem}. "
            "Correct the payload, or take it as it is, from frames()."
        )


class CutShortWarning(BinanceReplayWarning):
    """A cassette ends inside a line; the whole lines before it are played.

    Attributes:
        path: The file, as the user knows it.
        line: Number of the line that is cut, from 1.
    """

    def __init__(self, path: str, line: int) -> None:
        super().__init__(path, line)
        self.path = path
        self.line = line

    def __str__(self) -> str:
        return (
            f"{self.path}: cut short inside line {self.line}; "
            f"playing the {self.line - 1} whole lines before it."
        )


class OutOfOrderWarning(BinanceReplayWarning):
    """A cassette line was received before the line above it.

    Attributes:
        path: The file, as the user knows it.
        line: Number of the line, from 1.
        back_us: How far its receive time lies before the latest one, microseconds.
    """

    def __init__(self, path: str, line: int, back_us: int) -> None:
        super().__init__(path, line, back_us)
        self.path = path
        self.line = line
        self.back_us = back_us

    def __str__(self) -> str:
        return (
            f"{self.path}:{self.line}: received {self.back_us / 1e6:g} s before an "
            "earlier line; played in file order, without a wait. Sort the lines by "
            "'t' if the recorder wrote them out of order."
        )


class FrameCountWarning(BinanceReplayWarning):
    """A cassette has more or fewer frames than its last line says.

    A warning and no error, because cutting a frame out is a sound thing to do by hand.

    Attributes:
        path: The file, as the user knows it.
        said: Frames that the line says there are.
        found: Frames there are.
    """

    def __init__(self, path: str, said: int, found: int) -> None:
        super().__init__(path, said, found)
        self.path = path
        self.said = said
        self.found = found

    def __str__(self) -> str:
        return (
            f"{self.path}: its 'end' line says {self.said} frames, and it has "
            f"{self.found}. If you changed it by hand, write {self.found} there; "
            "else restore it from git."
        )


class UnfinishedRecordingWarning(BinanceReplayWarning):
    """A recording stopped before it was finished, between two lines.

    Attributes:
        path: The file, as the user knows it.
        frames: Frames there are; all of them are played.
        last_time_us: Receive time of the last one, microseconds; 0 without frames.
    """

    def __init__(self, path: str, frames: int, last_time_us: int) -> None:
        super().__init__(path, frames, last_time_us)
        self.path = path
        self.frames = frames
        self.last_time_us = last_time_us

    def __str__(self) -> str:
        return (
            f"{self.path}: the recording was not finished, for it has no 'end' line; "
            f"playing all {self.frames} frames. If you shortened it by hand, add: "
            f'{{"end":{self.last_time_us},"frames":{self.frames}}}'
        )


class CassetteNameError(ReplayError, ValueError):
    """A name cannot say which cassette is meant.

    Attributes:
        problem: What is wrong with it, without a final full stop.
        advice: What to do, a sentence.
    """

    def __init__(self, problem: str, advice: str) -> None:
        super().__init__(problem, advice)
        self.problem = problem
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.problem}. {self.advice}"


class CassetteNotFoundError(ReplayError, FileNotFoundError):
    """No cassette has the name asked for.

    Attributes:
        name: The name; of a bundled cassette, it begins with ``demo:``.
        directory: Where it was looked for, as the user knows it.
        nearest: Names that are there and come near it; all of them when few.
        command: What records it.
    """

    def __init__(
        self,
        name: str,
        directory: str,
        nearest: tuple[str, ...],
        command: str = "pytest --record-binance",
    ) -> None:
        super().__init__(name, directory, nearest, command)
        self.name = name
        self.directory = directory
        self.nearest = nearest
        self.command = command

    def __reduce__(self) -> tuple[type[ReplayError], tuple[Any, ...]]:
        """Rebuild from the facts: OSError rearranges its arguments."""
        return type(self), (self.name, self.directory, self.nearest, self.command)

    def __str__(self) -> str:
        near = ", ".join(map(repr, self.nearest))
        nearest = f"; nearest: {near}" if near else ""
        if self.name.startswith("demo:"):
            return (
                f"No bundled cassette {self.name!r}{nearest}. To record one of your "
                f"own: {self.command}"
            )
        return (
            f"No cassette {self.name!r} in {self.directory}{nearest}. "
            f"To record it: {self.command}"
        )


class MissingExtraError(ReplayError, ImportError):
    """Something needs a package that comes with an extra of this one.

    Attributes:
        purpose: What needs it.
        extra: Name of the extra.
    """

    def __init__(self, purpose: str, extra: str) -> None:
        super().__init__(purpose, extra)
        self.purpose = purpose
        self.extra = extra

    def __str__(self) -> str:
        return (
            f"{self.purpose} needs a package that is not installed: "
            f'pip install "pytest-binance-replay[{self.extra}]"'
        )


class TimeShiftError(ReplayError, ValueError):
    """A time in milliseconds cannot move by a fraction of one.

    Attributes:
        offset_us: The offset asked for, microseconds.
    """

    def __init__(self, offset_us: int) -> None:
        super().__init__(offset_us)
        self.offset_us = offset_us

    def __str__(self) -> str:
        return (
            f"cannot move times in milliseconds by {self.offset_us} µs. "
            "Take an offset of whole milliseconds."
        )


class BookGapError(ReplayError, ValueError):
    """Updates between a book and the next event are missing.

    Attributes:
        symbol: Whose book it is.
        update_id: The update that the book is at.
        first_update_id: The first update that the next event builds on or brings.
    """

    def __init__(self, symbol: str, update_id: int, first_update_id: int) -> None:
        super().__init__(symbol, update_id, first_update_id)
        self.symbol = symbol
        self.update_id = update_id
        self.first_update_id = first_update_id

    def __str__(self) -> str:
        missing = self.first_update_id - self.update_id - 1
        lack = "1 update is" if missing == 1 else f"{missing} updates are"
        if missing < 1:
            lack = "what lies between is"
        return (
            f"{self.symbol} book is at update {self.update_id} but the next diff "
            f"starts at {self.first_update_id}: {lack} missing. Take a new depth "
            "snapshot."
        )


class RequestRefusedError(ReplayError, ValueError):
    """A REST request that the exchange would refuse.

    Attributes:
        code: The exchange's error code.
        text: The exchange's words.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text

    def __str__(self) -> str:
        return self.text


class NotOnTapeError(ReplayError, LookupError):
    """A REST request that the exchange could answer, and the tape cannot.

    Attributes:
        reason: What the tape lacks, as a sentence.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class NothingLeftError(ReplayError, ValueError):
    """What was asked for holds no frame.

    Attributes:
        path: The file it was to be taken from.
        problem: What there is instead, without a final full stop.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path = path
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}; nothing was written."


class DamagedDepthError(ReplayError, ValueError):
    """What an order book is to be made from cannot be read.

    Attributes:
        what: What it is: a frame of a stream, the answer to a request.
        time_us: When the tape has it, microseconds since the epoch.
        problem: What is wrong with it.
    """

    def __init__(self, what: str, time_us: int, problem: str) -> None:
        super().__init__(what, time_us, problem)
        self.what = what
        self.time_us = time_us
        self.problem = problem

    def __str__(self) -> str:
        return (
            f"{self.what}, received at {self.time_us} µs, cannot be read: "
            f"{self.problem}. Find its line with `binance-replay check`; restore it "
            "from git, or cut it out."
        )


class NoBookError(ReplayError, LookupError):
    """The order book of a symbol is not known where the tape stands.

    Attributes:
        symbol: Whose book it is.
    """

    def __init__(self, symbol: str) -> None:
        super().__init__(symbol)
        self.symbol = symbol

    def __str__(self) -> str:
        return (
            f"the order book of {self.symbol} is not known here: that takes its diff "
            "depth stream and a recorded depth snapshot that joins it, or partial "
            "depth. Record btcusdt@depth@100ms and "
            "/api/v3/depth?symbol=BTCUSDT&limit=1000, or btcusdt@depth20@100ms."
        )


class TapeEndedError(ReplayError, EOFError):
    """The tape came to its end before what was waited for.

    Attributes:
        frames: How many frames the tape holds.
        wanted: What was waited for.
    """

    def __init__(self, frames: int, wanted: str) -> None:
        super().__init__(frames, wanted)
        self.frames = frames
        self.wanted = wanted

    def __str__(self) -> str:
        return (
            f"the tape ended after {self.frames} frames, before {self.wanted}. "
            "Record a longer cassette, or wait for less."
        )


class WaitTimeoutError(ReplayError, TimeoutError):
    """Something a test waited for did not happen in time.

    Attributes:
        seconds: How long it waited.
        wanted: What it waited for.
        seen: What there was instead.
    """

    def __init__(self, seconds: float, wanted: str, seen: str) -> None:
        super().__init__(seconds, wanted, seen)
        self.facts = (seconds, wanted, seen)  # OSError rearranges its arguments
        self.seconds = seconds
        self.wanted = wanted
        self.seen = seen

    def __str__(self) -> str:
        return f"waited {self.seconds:g} s for {self.wanted}; {self.seen}"


class ForgottenHandleError(ReplayError, RuntimeError):
    """A wait was ordered that nobody ever waited for, so it never took place.

    Attributes:
        wanted: What was to be waited for.
    """

    def __init__(self, wanted: str) -> None:
        super().__init__(wanted)
        self.wanted = wanted

    def __str__(self) -> str:
        return (
            f"nobody waited for {self.wanted}, so it was never asked. Await the "
            "handle, or call its wait()."
        )


class ReplayClosedError(ReplayError, RuntimeError):
    """Something was wanted of a replay that is closed, or whose tape was replaced.

    Attributes:
        wanted: What was wanted.
    """

    def __init__(self, wanted: str) -> None:
        super().__init__(wanted)
        self.wanted = wanted

    def __str__(self) -> str:
        return (
            f"waited for {self.wanted}, but the replay was closed or given another "
            "tape. Wait for the handle before that."
        )


class PortInUseError(ReplayError, OSError):
    """The server cannot listen where it was told to.

    Attributes:
        host: Address.
        port: Port.
        problem: What the system said.
    """

    def __init__(self, host: str, port: int, problem: str) -> None:
        super().__init__(host, port, problem)
        self.facts = (host, port, problem)
        self.host = host
        self.port = port
        self.problem = problem

    def __str__(self) -> str:
        return (
            f"cannot listen on {self.host} port {self.port}: {self.problem}. "
            "Stop what listens there, or choose another with --port (0 takes a free "
            "one)."
        )


class ExchangeBlockedError(ReplayError, RuntimeError):
    """Something tried to reach the real exchange while a replay stands in for it.

    Attributes:
        host: The exchange's host.
        test: The test during which it tried; None if unknown.
    """

    def __init__(self, host: str, test: str | None = None) -> None:
        super().__init__(host, test)
        self.host = host
        self.test = test

    def __str__(self) -> str:
        where = f"{self.test}: " if self.test else ""
        return (
            f"{where}stopped a connection to {self.host}, for no test with a replay "
            "reaches the real exchange. Point the bot at binance_replay.ws_url and "
            "binance_replay.rest_url, or pass redirect=True to let it land on the "
            "replay server as it is, or take the binance_replay fixture off the test."
        )


class OutputError(ReplayError, OSError):
    """What a command has found out cannot be written.

    Attributes:
        reason: What the system says.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"the output cannot be written: {self.reason}. Make room, or send it "
            "elsewhere."
        )


class SocketsBlockedError(ReplayError, RuntimeError):
    """Something keeps the replay server from opening a socket on this machine.

    Attributes:
        blocker: Name of the error that was raised instead of a socket.
    """

    def __init__(self, blocker: str) -> None:
        super().__init__(blocker)
        self.blocker = blocker

    def __str__(self) -> str:
        return (
            f"the replay server cannot open a socket ({self.blocker}). If "
            "pytest-socket blocks it, add --allow-hosts=127.0.0.1 to the command, or "
            "mark the test with enable_socket."
        )


class OptionError(ReplayError, ValueError):
    """A setting is wrong.

    Attributes:
        where: Where it stood and how it was written.
        problem: What is wrong with it, or what was expected, without a full stop.
    """

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(where, problem)
        self.where = where
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}."


class MarketUnknownError(ReplayError, ValueError):
    """Neither a cassette's header nor its payloads say which market it is.

    Attributes:
        path: The cassette.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return (
            f"{self.path}: neither a header nor the payloads say which market this is. "
            'Put {"cassette":1,"market":"spot"} in its first line, or pass '
            "market='spot' or market='usdm'."
        )


class MarketsDifferError(ReplayError, ValueError):
    """Recordings of two markets were to become one cassette.

    Attributes:
        one: A file.
        market: Its market.
        other: Another file.
        other_market: That one's market.
    """

    def __init__(self, one: str, market: str, other: str, other_market: str) -> None:
        super().__init__(one, market, other, other_market)
        self.one = one
        self.market = market
        self.other = other
        self.other_market = other_market

    def __str__(self) -> str:
        return (
            f"{self.one} is of {self.market}, {self.other} of {self.other_market}, and "
            "a cassette has one market. Keep a cassette for each, and play both: a "
            "tape takes several."
        )


class LoopHasNoEndError(ReplayError, ValueError):
    """A looped tape was told to play to its end."""

    def __str__(self) -> str:
        return (
            "the tape loops and has no end to play to. Give play() an until, "
            "or set at_end='hold'."
        )


class MissingDataError(ReplayError, LookupError):
    """A client asked for something that the cassettes cannot give.

    Attributes:
        missing: What it asked for; a `pytest_binance_replay.journal.Missing`.
        cassette: The cassettes on the tape, as they were named.
        held: The streams that they have.
        command: The command that would record it.
    """

    def __init__(
        self, missing: Any, cassette: str, held: tuple[str, ...], command: str
    ) -> None:
        super().__init__(missing, cassette, held, command)
        self.missing = missing
        self.cassette = cassette
        self.held = held
        self.command = command

    def __str__(self) -> str:
        asked = repr(self.missing.asked)
        who = f"asked by client {self.missing.client}"
        match self.missing.reason:
            case "case":
                return (
                    f"Stream {asked} ({who}) stays silent, here as on the exchange: "
                    f"stream names are spelled exactly.{self._guess()}"
                )
            case "route":
                return (
                    f"Stream {asked} ({who}) is on the tape, but the exchange keeps it "
                    "silent on this path since 2026-04-23: connect under /public or "
                    "/market, whichever carries it, or pass routes='any'."
                )
            case "rest":
                detail = f" {self.missing.detail}" if self.missing.detail else ""
                return f"No cassette has an answer to {asked}.{detail}{self._record()}"
            case "damaged":
                return f"{self.cassette}: {asked} has no answer: {self.missing.detail}"
            case "pair":
                what = f"No cassette feeds {asked}"
            case _:
                what = f"No cassette has stream {asked}"
        return f"{what} ({who}); {self._have()}.{self._guess()}{self._record()}"

    def _have(self) -> str:
        if not self.held:
            return "the tape has no stream at all"
        shown = ", ".join(self.held[:_SHOWN_NAMES])
        more = len(self.held) - _SHOWN_NAMES
        return f"{self.cassette} has {shown}" + (f" and {more} more" * (more > 0))

    def _guess(self) -> str:
        nearest = self.missing.nearest
        return f" Did you mean {nearest[0]!r}?" if nearest else ""

    def _record(self) -> str:
        return f" To record it too: {self.command}"


_SHOWN_NAMES = 12


class ServerFailedError(ReplayError, RuntimeError):
    """The replay server itself failed; no client is to blame.

    Attributes:
        problem: The error, as Python shows it.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return f"the replay server failed: {self.problem}. Please report this."


class ClientVanishedError(ReplayError, ConnectionError):
    """A client went away without a close frame while frames were still due.

    Attributes:
        client: The client; a `pytest_binance_replay.journal.ClientRecord`.
    """

    def __init__(self, client: Any) -> None:
        super().__init__(client)
        self.facts = (client,)  # OSError rearranges its arguments
        self.client = client

    def __str__(self) -> str:
        advice = "If that is meant, pass check={'vanished': 'ignore'}."
        if self.client.burst:
            advice = (
                f"It went right after a burst of {self.client.burst} frames: its queue "
                "may have overflowed; slow the tape with speed='auto' or speed=1."
            )
        return f"{self.client}, while frames were still due for it. {advice}"


class CaptureError(ReplayError, RuntimeError):
    """A recording could not be made.

    Attributes:
        problem: What happened and what to do, sentences.
        kept: The file with what was captured until then; None if there is none.
    """

    def __init__(self, problem: str, kept: str | None = None) -> None:
        super().__init__(problem, kept)
        self.facts: tuple[Any, ...] = (problem, kept)  # OSError rearranges its own
        self.problem = problem
        self.kept = kept

    def with_kept(self, kept: str | None) -> CaptureError:
        """Return the same error, with where to find what was captured."""
        make: Any = type(self)
        same: CaptureError = make(*self.facts[:-1], kept)
        return same

    def __str__(self) -> str:
        if self.kept is None:
            return self.problem
        kept = f"What was captured is in {self.kept}; rename it to use it."
        return f"{self.problem} {kept}"


class UpstreamError(CaptureError, ConnectionError):
    """The upstream cannot be reached, or does not give what was asked of it."""


class ConnectionLostError(ReplayError, ConnectionError):
    """A connection to the upstream was lost or could not be made, which may pass.

    Attributes:
        reason: What happened, without a full stop: a close code, or words.
        retry_seconds: How long the upstream wants to be left alone; None if it did
            not say.
    """

    def __init__(self, reason: str, retry_seconds: float | None = None) -> None:
        super().__init__(reason, retry_seconds)
        self.facts = (reason, retry_seconds)  # OSError rearranges its arguments
        self.reason = reason
        self.retry_seconds = retry_seconds

    def __str__(self) -> str:
        return f"the connection to the upstream was lost: {self.reason}."


class QuietMarketError(CaptureError):
    """Too few messages came in the time that a recording had.

    Attributes:
        seconds: How long it waited.
        wanted: What it waited for.
        seen: How many messages came of what, in words.
    """

    def __init__(
        self, seconds: float, wanted: str, seen: str, kept: str | None = None
    ) -> None:
        problem = (
            f"recorded {seconds:g} s and did not get {wanted}; {seen}. Record longer, "
            "ask for less, or take a busier symbol."
        )
        super().__init__(problem, kept)
        self.facts = (seconds, wanted, seen, kept)
        self.seconds = seconds
        self.wanted = wanted
        self.seen = seen


class CheckWarning(BinanceReplayWarning):
    """Something that `check` says is to be no more than a warning."""
