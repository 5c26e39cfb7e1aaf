"""Cassette lines as values, and back: header, frame, REST answer, mark, end.

A cassette is JSON Lines. What a line is, one of its members says:

    {"cassette":1,"market":"spot",...}                     header, the first line
    {"t":<us>,"stream":"btcusdt@trade","data":<payload>}   frame
    {"t":<us>,"rest":"/api/v3/depth?...","status":200,"data":<payload>}
    {"t":<us>,"mark":"reconnected",...}                    mark, with fields of its own
    {"end":<us>,"frames":48210}                            end

`parse_line` takes any spacing, any order of members, and members it does not know.
`format_line` writes the one canonical form: no blanks, members in the order above.
`parse_block` reads many lines at once, and the usual ones without parsing JSON.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn, TypeAlias, get_args, overload

from pytest_binance_replay.errors import CassetteFormatError, CassetteLineError
from pytest_binance_replay.streams import Market

VERSION = 1
"""Version of the cassette format, as the header's ``cassette`` says it."""

UNPARSED = "unparsed"
"""Name of the marks that keep what came and is not one line of JSON."""

_LATEST_US = 253_402_300_799_999_999  # the end of the year 9999
_SHOWN_CHARACTERS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What the first line of a cassette says about all of it.

    Attributes:
        version: Version of the cassette format.
        market: None if the header does not say.
        source: Where the frames are from: a URL, or ``synthetic:<generator> seed=<n>``.
        recorded_at: When recording began, ISO 8601, UTC.
        streams: Streams the recording asked for, whether or not they sent any frame.
        recorder: Program that wrote the cassette, and its version.
        test: Node id of the test it was recorded for.
        extra: Members that this version does not know, by name.
    """

    version: int = VERSION
    market: Market | None = None
    source: str | None = None
    recorded_at: str | None = None
    streams: tuple[str, ...] | None = None
    recorder: str | None = None
    test: str | None = None
    extra: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Frame:
    """One message.

    Attributes:
        receive_time_us: When it was received, microseconds since the epoch, UTC.
        stream: Name of its stream.
        payload: The message exactly as it came: one JSON value in UTF-8.
    """

    receive_time_us: int
    stream: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class RestAnswer:
    """The answer to one REST request.

    Attributes:
        receive_time_us: When it was received, microseconds since the epoch, UTC.
        request: Path and query: ``/api/v3/depth?symbol=BTCUSDT&limit=1000``.
        status: HTTP status code.
        payload: The body exactly as it came: one JSON value in UTF-8.
    """

    receive_time_us: int
    request: str
    status: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Mark:
    """A note about the recording itself, such as a reconnect.

    Attributes:
        receive_time_us: When it happened, microseconds since the epoch, UTC.
        name: What happened.
        fields: More about it: JSON values by name, none named ``t`` or ``mark``.
    """

    receive_time_us: int
    name: str
    fields: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class End:
    """The last line of a recording that was finished.

    Attributes:
        receive_time_us: When it was finished, microseconds since the epoch, UTC.
        frames: How many frames the cassette has.
    """

    receive_time_us: int
    frames: int


Line: TypeAlias = Header | Frame | RestAnswer | Mark | End


class LineEnds(Sequence[bytes]):
    """Payloads still in the ends of their lines, cut out when one is asked for.

    What follows the time in a line of the usual form is, but for the opening brace,
    what goes over the wire on a combined stream; whoever wants that needs no payload.

    Args:
        ends: Of each line, what follows its time: from ``"stream":`` to the last brace.
        streams: Stream names, as written in the lines.
    """

    __slots__ = ("_payloads", "_streams", "ends")

    def __init__(self, ends: Sequence[bytes], streams: Sequence[bytes]) -> None:
        self.ends = ends
        self._streams = streams
        self._payloads: list[bytes] | None = None

    def cut(self) -> list[bytes]:
        """Return the payloads."""
        if self._payloads is None:
            starts = {name: len(name) + _AROUND_STREAM for name in {*self._streams}}
            self._payloads = [
                end[starts[name] : -1]
                for end, name in zip(self.ends, self._streams, strict=True)
            ]
        return self._payloads

    def __len__(self) -> int:
        return len(self.ends)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.cut())

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        return self.cut()[index]

    def __eq__(self, other: object) -> bool:
        return self.cut() == (other.cut() if isinstance(other, LineEnds) else other)

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class Batch:
    """The lines of one block: its frames as parallel lists, and the others.

    Attributes:
        times_us: Receive times, microseconds since the epoch.
        streams: Stream names, UTF-8.
        payloads: Payloads exactly as they came.
        others: REST answers, marks and the end, each with the number of the batch's
            frames before it; a header too, if the block begins with it.
        lines: How many lines the block has, blank ones included; 0 for a batch that was
            not read from a block.
    """

    times_us: list[int]
    streams: list[bytes]
    payloads: Sequence[bytes]
    others: list[tuple[int, Line]]
    lines: int = field(default=0, compare=False)


# A line to its members


class _Member(NamedTuple):
    """The value of a member, and the very text it was written as."""

    value: object
    text: str

    @property
    def shown(self) -> str:
        """The text for a message, not longer than a glance."""
        cut = len(self.text) > _SHOWN_CHARACTERS
        return f"{self.text[:_SHOWN_CHARACTERS]}..." if cut else self.text


_Members: TypeAlias = dict[str, _Member]

_BLANKS = r"[ \t\r]*"
_OPENING = re.compile(rf"{_BLANKS}\{{{_BLANKS}")
_COLON = re.compile(rf"{_BLANKS}:{_BLANKS}")
_COMMA = re.compile(rf"{_BLANKS},{_BLANKS}")
_CLOSING = re.compile(rf"{_BLANKS}\}}{_BLANKS}")


def _fail(problem: str) -> NoReturn:
    raise CassetteLineError(problem) from None


def _fail_at(at: int, problem: str) -> NoReturn:
    _fail(f"{problem} at column {at + 1}")


def _refuse_constant(name: str) -> NoReturn:
    _fail(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _decode(text: str, at: int) -> tuple[object, int]:
    """Return the JSON value that starts at an index, and the index behind it."""
    try:
        return _DECODER.raw_decode(text, at)
    except json.JSONDecodeError as error:
        _fail_at(error.pos, error.msg.removesuffix(" at"))
    except CassetteLineError:
        raise
    except RecursionError:
        _fail("its values are nested too deeply")
    except ValueError:
        _fail("it has a number of too many digits")


def _skip(text: str, at: int, mark: re.Pattern[str], problem: str) -> int:
    """Return the index behind a punctuation mark and the blanks around it."""
    found = mark.match(text, at)
    if not found:
        _fail_at(len(text) - len(text[at:].lstrip(" \t\r")), problem)
    return found.end()


def _parse_members(text: str) -> _Members:
    """Take an object apart, keeping the text of each value."""
    opening = _OPENING.match(text)
    if not opening:
        _fail("it is not a JSON object")
    members: _Members = {}
    at = opening.end()
    closing = _CLOSING.match(text, at)
    while not closing:
        if not text.startswith('"', at):
            _fail_at(at, "Expecting property name enclosed in double quotes")
        name, at = _decode(text, at)
        at = _skip(text, at, _COLON, "Expecting ':' delimiter")
        value, end = _decode(text, at)
        _add_member(members, str(name), _Member(value, text[at:end]))
        closing = _CLOSING.match(text, end)
        if not closing:
            at = _skip(text, end, _COMMA, "Expecting ',' delimiter")
    if closing.end() < len(text):
        _fail_at(closing.end(), "Extra data")
    return members


def _add_member(members: _Members, name: str, member: _Member) -> None:
    if name in members:
        _fail(f"it has {name!r} twice")
    members[name] = member


# Members to a line


def _member(members: _Members, name: str, meaning: str) -> _Member:
    if name not in members:
        _fail(f"it has no {name!r} ({meaning})")
    return members[name]


def _fail_value(name: str, member: _Member, expected: str) -> NoReturn:
    _fail(f"{name!r} is {member.shown}: expected {expected}")


def _integer(members: _Members, name: str, meaning: str, limits: range) -> int:
    member = _member(members, name, meaning)
    value = member.value
    # A bool is an int to Python, not to JSON.
    if isinstance(value, bool) or not isinstance(value, int) or value not in limits:
        _fail_value(name, member, meaning)
    return value


def _time_us(members: _Members, name: str = "t") -> int:
    meaning = "receive time, integer microseconds since 1970"
    return _integer(members, name, meaning, range(_LATEST_US + 1))


def _string(name: str, member: _Member, expected: str) -> str:
    value = member.value
    if not isinstance(value, str) or not value:
        _fail_value(name, member, expected)
    try:
        value.encode()
    except UnicodeEncodeError:
        _fail_value(name, member, "whole characters, not half of one")
    return value


def _payload(members: _Members) -> bytes:
    return _member(members, "data", "the payload").text.encode()


def _to_frame(members: _Members) -> Frame:
    stream = _string("stream", members["stream"], "a stream name, as btcusdt@trade")
    return Frame(_time_us(members), stream, _payload(members))


def _to_rest_answer(members: _Members) -> RestAnswer:
    expected = "a path and query, as /api/v3/depth?symbol=BTCUSDT"
    request = _string("rest", members["rest"], expected)
    if not request.startswith("/"):
        _fail_value("rest", members["rest"], expected)
    status = _integer(members, "status", "an HTTP status, 100 to 599", range(100, 600))
    return RestAnswer(_time_us(members), request, status, _payload(members))


def _to_mark(members: _Members) -> Mark:
    name = _string("mark", members["mark"], "the name of a mark")
    fields = {
        key: member.value for key, member in members.items() if key not in {"t", "mark"}
    }
    return Mark(_time_us(members), name, fields)


def _to_end(members: _Members) -> End:
    meaning = "a number of frames, 0 or more"
    frames = _integer(members, "frames", meaning, range(_LATEST_US))
    return End(_time_us(members, "end"), frames)


_HEADER_TEXTS = ("source", "recorded_at", "recorder", "test")
_HEADER_MEMBERS = {"cassette", "market", "streams", *_HEADER_TEXTS}


def _to_header(members: _Members) -> Header:
    _check_version(members["cassette"])
    told = {name: member for name, member in members.items() if member.text != "null"}
    market = told.get("market")
    streams = told.get("streams")
    texts = {
        name: _string(name, told[name], "a text")
        for name in _HEADER_TEXTS
        if name in told
    }
    return Header(
        market=None if market is None else _market(market),
        source=texts.get("source"),
        recorded_at=texts.get("recorded_at"),
        streams=None if streams is None else _stream_names(streams),
        recorder=texts.get("recorder"),
        test=texts.get("test"),
        extra={
            name: member.value
            for name, member in members.items()
            if name not in _HEADER_MEMBERS
        },
    )


def _check_version(member: _Member) -> None:
    value = member.value
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        _fail_value("cassette", member, f"the version of the format, {VERSION}")
    if value > VERSION:
        _fail(
            f"its format is version {value}, and this package reads version {VERSION}; "
            "a newer pytest-binance-replay is needed"
        )


def _market(member: _Member) -> Market:
    markets: tuple[Market, ...] = get_args(Market)
    for market in markets:
        if member.value == market:
            return market
    _fail_value("market", member, " or ".join(f'"{market}"' for market in markets))


def _stream_names(member: _Member) -> tuple[str, ...]:
    if not isinstance(member.value, list):
        _fail_value("streams", member, "a list of stream names")
    return tuple(
        _string("streams", _Member(name, json.dumps(name)), "stream names")
        for name in member.value
    )


_KINDS: dict[str, Callable[[_Members], Line]] = {
    "cassette": _to_header,
    "stream": _to_frame,
    "rest": _to_rest_answer,
    "end": _to_end,
}


def parse_line(raw: bytes) -> Line:
    """Turn one line into what it says.

    Args:
        raw: The line, with or without its line end.

    Returns:
        A frame's or REST answer's payload is the very bytes of its ``data``.

    Raises:
        CassetteLineError: If it is no cassette line. Columns in its problem count
            characters, from 1.
    """
    try:
        text = raw.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        _fail(f"its byte {error.start + 1} is not UTF-8")
    if "\n" in text:
        _fail("it is more than one line")
    members = _parse_members(text)
    if "mark" in members:  # whose fields have names of their own
        return _to_mark(members)
    kinds = [kind for kind in _KINDS if kind in members]
    if len(kinds) != 1:
        _fail(_kind_problem(kinds))
    return _KINDS[kinds[0]](members)


def _kind_problem(kinds: list[str]) -> str:
    if kinds:
        both = " and ".join(map(repr, kinds))
        return f"it has {both}, which are different kinds of line"
    return "it has none of 'stream', 'rest', 'mark', 'end' and 'cassette'"


def is_cut(raw: bytes) -> bool:
    """Tell whether text may be the start of a cassette line whose rest is missing.

    A file cut by a loss of power may end in zeros, which count as missing.
    """
    start = raw.rstrip(b"\0")
    text = start.decode(errors="replace").lstrip(" \t\r")
    if text[:1] not in {"", "{"}:
        return False
    if not text or start != raw:
        return start != raw
    try:
        _parse_members(text)
    except CassetteLineError:
        return True
    return False


# Lines to text


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _encode(text: str) -> bytes:
    # Of what json leaves unescaped, only half a surrogate pair does not fit UTF-8, and
    # Python's escape for it is JSON's.
    return text.encode(errors="backslashreplace")


def _header_members(header: Header) -> dict[str, object]:
    known = {
        "cassette": header.version,
        "market": header.market,
        "source": header.source,
        "recorded_at": header.recorded_at,
        "streams": None if header.streams is None else list(header.streams),
        "recorder": header.recorder,
        "test": header.test,
    }
    told = {name: value for name, value in known.items() if value is not None}
    return {**told, **header.extra}


def _format(line: Line) -> bytes:
    match line:
        case Frame(time_us, stream, payload):
            start = _encode(f'{{"t":{time_us},"stream":{_dump(stream)},"data":')
            return start + payload + b"}\n"
        case RestAnswer(time_us, request, status, payload):
            start = _encode(f'{{"t":{time_us},"rest":{_dump(request)},')
            return start + b'"status":%d,"data":%b}\n' % (status, payload)
        case Mark(time_us, name, fields):
            members = {"t": time_us, "mark": name, **fields}
            return _encode(_dump(members) + "\n")
        case End(time_us, frames):
            return _encode(_dump({"end": time_us, "frames": frames}) + "\n")
    return _encode(_dump(_header_members(line)) + "\n")


def format_line(line: Line) -> bytes:
    r"""Write one line in its canonical form, ``\n`` included.

    Raises:
        CassetteLineError: If it would not read back as the same line: a payload that
            is not one line of JSON, or has blanks around it (`unparsed_mark` keeps
            those), or a field whose name or value a line cannot hold.
    """
    raw = _format(line)
    if parse_line(raw) != line:
        _fail("it would not read back as it is")
    return raw


# What is not one line of JSON


def is_payload(raw: bytes) -> bool:
    """Tell whether text can be a payload: one line of JSON, no blanks around it."""
    try:
        text = raw.decode()
        _, end = _decode(text, 0)
    except (UnicodeDecodeError, CassetteLineError):
        return False
    return end == len(text) and "\n" not in text


def unparsed_mark(receive_time_us: int, stream: str | None, raw: bytes) -> Mark:
    """Keep what came and cannot be a payload.

    The mark is named ``unparsed``. Its field ``text`` holds the message if it is UTF-8,
    so that it can be read in the file, else ``base64`` does; ``stream`` holds the
    stream name, unless that is None.
    """
    fields = {} if stream is None else {"stream": stream}
    try:
        fields["text"] = raw.decode()
    except UnicodeDecodeError:
        fields["base64"] = base64.b64encode(raw).decode()
    return Mark(receive_time_us, UNPARSED, fields)


def original_bytes(mark: Mark) -> bytes:
    """Return what `unparsed_mark` kept, exactly as it came.

    Raises:
        CassetteLineError: If the mark keeps no message.
    """
    text = mark.fields.get("text")
    encoded = mark.fields.get("base64")
    try:
        if isinstance(text, str):
            return text.encode()
        if isinstance(encoded, str):
            return base64.b64decode(encoded, validate=True)
    except ValueError:  # half a character, or no base64
        pass
    _fail(f"the mark {mark.name!r} keeps no message in 'text' or 'base64'")


# Blocks of lines
#
# Frames of the usual form, `t`, `stream` and `data` in this order and nothing else, are
# cut out by one expression, without parsing JSON. It takes the payload to reach up to
# the line's last brace, which is right unless another member follows the payload. Then
# the payload's own closing brace or bracket is followed by a comma and a quote. Few
# payloads have that inside, and a line that has it is parsed. For objects one search
# covers the whole block; arrays are searched one by one, for depth payloads are full of
# brackets before commas.

_MEMBER_AFTER_OBJECT = re.compile(rb'\}[ \t\r]*,[ \t\r]*"')
_MEMBER_AFTER_ARRAY = re.compile(rb'\][ \t\r]*,[ \t\r]*"')


def _line_form(blanks: bytes) -> re.Pattern[bytes]:
    """Compile what matches any line, with groups only if it is a frame.

    The groups are the time, the stream name, and the payload: an object or an array.
    """
    frame = (
        rb" \{ 't' : (0|[1-9][0-9]{0,16}) , 'stream' : '([^'\\\x00-\x1f]+)' ,"
        rb" 'data' : (?:(\{.*\})|(\[.*\])) \} "
    )
    frame = frame.replace(b"'", b'"').replace(b" ", blanks)
    return re.compile(rb"^(?:%b|.*)$" % frame, re.MULTILINE)


# What it splits a block into tells at once whether the block is nothing but frames.
_CANONICAL_FRAME = re.compile(
    rb'\{"t":(0|[1-9][0-9]{0,16}+),("stream":"([^"\\\x00-\x1f]++)","data":\{.*\}\})\n'
)
_CANONICAL_LINE = _line_form(b"")
_SPACED_LINE = _line_form(rb"[ \t\r]*")
_AROUND_STREAM = len(b'"stream":"","data":')

_Cuts: TypeAlias = list[tuple[bytes, bytes, bytes, bytes]]


def parse_block(
    raw: bytes, *, first_line: int, trusted: bool, path: str = "cassette"
) -> Batch:
    """Read a block of whole lines; blank ones are skipped.

    Frames of the usual form are not parsed, so that a payload which is broken inside
    goes unseen here. Receive times are not compared.

    Args:
        raw: Whole lines; the last may lack its line end.
        first_line: Number of the first line in its file, from 1.
        trusted: Whether every line is known to come from `format_line`. Otherwise
            lines that may hold a member after the payload are parsed.
        path: What errors call the file.

    Raises:
        CassetteFormatError: At the first line that is no cassette line, or is a header
            and not the first.
    """
    is_canonical = _CANONICAL_FRAME.search(raw) is not None  # as then most lines are
    if is_canonical and _is_utf8(raw):
        between, received, ends, names = _columns(_CANONICAL_FRAME.split(raw))
        is_pure = not any(between)
        others = [] if is_pure else _parse_between(between, first_line, path)
        if others is not None and (trusted or _end_with_data(raw, ends)):
            times_us = list(map(int, received))
            lines = len(names) if is_pure else _count_lines(raw)
            return Batch(times_us, names, LineEnds(ends, names), others, lines=lines)
    form = _CANONICAL_LINE if is_canonical else _SPACED_LINE
    cuts: _Cuts = form.findall(raw)
    if raw.endswith(b"\n"):
        cuts.pop()
    if not is_canonical and not _MEMBER_AFTER_OBJECT.search(raw) and _is_utf8(raw):
        times, streams, objects, _ = zip(*cuts, strict=True)
        if all(objects):
            times_us = list(map(int, times))
            return Batch(times_us, list(streams), list(objects), [], lines=len(cuts))
    return _parse_lines(raw, cuts, first_line, path)


def _count_lines(raw: bytes) -> int:
    return raw.count(b"\n") + (not raw.endswith(b"\n"))


def _columns(parts: list[bytes]) -> tuple[list[bytes], ...]:
    """Turn what `_CANONICAL_FRAME` splits into what is between frames, and the groups.

    A flat list and four slices cost half of what a tuple for each line does.
    """
    return parts[::4], parts[1::4], parts[2::4], parts[3::4]


def _is_utf8(raw: bytes) -> bool:
    if raw.isascii():
        return True
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _end_with_data(raw: bytes, ends: list[bytes]) -> bool:
    """Tell whether surely no frame of a block has a member behind its payload."""
    search = _MEMBER_AFTER_OBJECT.search
    return not search(raw) or not any(map(search, ends))


def _parse_between(
    between: list[bytes], first_line: int, path: str
) -> list[tuple[int, Line]] | None:
    """Read the few lines of a block that are no frames.

    Args:
        between: What is in front of each frame and behind the last.
        first_line: As `parse_block`.
        path: As `parse_block`.

    Returns:
        The lines, each with the number of frames before it; None if frames of another
        form are among them, or what was taken for a frame is a part of a line.
    """
    others: list[tuple[int, Line]] = []
    number = first_line
    for before, text in enumerate(between):
        *lines, rest = text.split(b"\n")
        if before == len(between) - 1:
            lines.append(rest)
        elif rest:
            return None
        for line in lines:
            if line.strip():
                parsed = _parse_at(path, number, line)
                if isinstance(parsed, Frame):
                    return None
                in_front = first_line == 1 and not before and not others
                _check_header(parsed, path, number, in_front=in_front)
                others.append((before, parsed))
            number += 1
        number += 1
    return others


def _parse_lines(raw: bytes, cuts: _Cuts, first_line: int, path: str) -> Batch:
    """Read lines of all kinds, parsing those that are not surely frames."""
    payloads: list[bytes] = []
    batch = Batch([], [], payloads, [], lines=len(cuts))
    lines = zip(raw.split(b"\n"), cuts, strict=False)
    for number, (line, (time, stream, in_braces, in_brackets)) in enumerate(
        lines, first_line
    ):
        if _is_frame(line, in_braces, in_brackets):
            batch.times_us.append(int(time))
            batch.streams.append(stream)
            payloads.append(in_braces or in_brackets)
        elif line and not line.isspace():
            parsed = _parse_at(path, number, line)
            if isinstance(parsed, Frame):
                batch.times_us.append(parsed.receive_time_us)
                batch.streams.append(parsed.stream.encode())
                payloads.append(parsed.payload)
            else:
                in_front = first_line == 1 and not payloads and not batch.others
                _check_header(parsed, path, number, in_front=in_front)
                batch.others.append((len(payloads), parsed))
    return batch


def _is_frame(line: bytes, in_braces: bytes, in_brackets: bytes) -> bool:
    """Tell whether what was cut out of a line is surely its payload."""
    return (
        bool(in_braces or in_brackets)
        and not _MEMBER_AFTER_OBJECT.search(in_braces)
        and not _MEMBER_AFTER_ARRAY.search(in_brackets)
        and _is_utf8(line)
    )


def _parse_at(path: str, number: int, raw: bytes) -> Line:
    try:
        return parse_line(raw)
    except CassetteLineError as error:
        raise CassetteFormatError(path, number, str(error)) from None


def _check_header(line: Line, path: str, number: int, *, in_front: bool) -> None:
    """Refuse a header, unless it is in front of all other lines."""
    if isinstance(line, Header) and not in_front:
        raise CassetteFormatError(
            path,
            number,
            "a second header",
            "Were two cassettes joined by hand? Play both by name, or remove this "
            "line.",
        )
