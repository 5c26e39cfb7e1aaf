from __future__ import annotations

import json
from itertools import islice
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_binance_replay.cassette import (
    Batch,
    End,
    Frame,
    Header,
    Line,
    Mark,
    RestAnswer,
    format_line,
    is_cut,
    is_payload,
    original_bytes,
    parse_block,
    parse_line,
    unparsed_mark,
)
from pytest_binance_replay.errors import CassetteFormatError, CassetteLineError

# What confuses a reader of lines most: the punctuation of JSON, inside strings.
TEXTS = st.text(st.sampled_from('{}[],:" \\ab1é中\u2028\n\r\t')) | st.text(
    st.characters(codec="utf-8")
)
NAMES = TEXTS.filter(bool)
TIMES_US = st.integers(0, 253_402_300_799_999_999)
SCALARS = st.none() | st.booleans() | st.integers() | TEXTS
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
JSON: st.SearchStrategy[Any] = st.recursive(
    SCALARS | NUMBERS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3)
    ),
    max_leaves=8,
)


@st.composite
def payloads(draw: st.DrawFn) -> bytes:
    comma, colon = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", "\r:")]))
    escaped = draw(st.booleans())
    value = draw(JSON)
    return json.dumps(value, ensure_ascii=escaped, separators=(comma, colon)).encode()


TAKEN = {"cassette", "stream", "rest", "end", "mark"}
HEADERS = st.builds(
    Header,
    market=st.sampled_from([None, "spot", "usdm"]),
    source=st.none() | NAMES,
    recorded_at=st.none() | NAMES,
    streams=st.none() | st.lists(NAMES).map(tuple),
    recorder=st.none() | NAMES,
    test=st.none() | NAMES,
    extra=st.dictionaries(
        TEXTS.filter(lambda name: name not in TAKEN), JSON, max_size=3
    ),
)
FRAMES = st.builds(Frame, TIMES_US, NAMES, payloads())
REST_ANSWERS = st.builds(
    RestAnswer,
    TIMES_US,
    TEXTS.map(lambda text: f"/{text}"),
    st.integers(100, 599),
    payloads(),
)
MARKS = st.builds(
    Mark,
    TIMES_US,
    NAMES,
    st.dictionaries(
        TEXTS.filter(lambda name: name not in {"t", "mark"}), JSON, max_size=3
    ),
)
ENDS = st.builds(End, TIMES_US, st.integers(0, 10**12))
LINES = HEADERS | FRAMES | REST_ANSWERS | MARKS | ENDS

HEADER_LINE = (
    b'{"cassette":1,"market":"spot","source":"wss://data-stream.binance.vision",'
    b'"recorded_at":"2026-11-20T10:00:00Z","streams":["btcusdt@trade"],'
    b'"recorder":"pytest-binance-replay 0.1.0","test":"tests/test_bot.py::test_dip",'
    b'"note":"by hand","more":[1.5,null]}\n'
)


@given(LINES)
def test_a_line_reads_back_as_it_was_written(line: Line) -> None:
    assert parse_line(format_line(line)) == line


@given(LINES)
def test_a_canonical_line_is_written_back_byte_for_byte(line: Line) -> None:
    raw = format_line(line)
    assert raw.count(b"\n") == 1
    assert format_line(parse_line(raw)) == raw


@pytest.mark.parametrize(
    "raw",
    [
        HEADER_LINE,
        b'{"cassette":1}\n',
        b'{"t":1795168800003123,"stream":"btcusdt@trade","data":{"e":"trade"}}\n',
        b'{"t":0,"rest":"/api/v3/depth?symbol=BTCUSDT","status":200,"data":{"a":1.10}}\n',
        b'{"t":1795168805000000,"mark":"reconnected","reason":"1006"}\n',
        b'{"end":1795168860000000,"frames":48210}\n',
        '{"t":1,"stream":"币安人生usdt@trade","data":{"s":"币"}}\n'.encode(),
    ],
)
def test_documented_lines_are_canonical(raw: bytes) -> None:
    assert format_line(parse_line(raw)) == raw


def test_a_header_keeps_what_it_does_not_know() -> None:
    assert parse_line(HEADER_LINE) == Header(
        market="spot",
        source="wss://data-stream.binance.vision",
        recorded_at="2026-11-20T10:00:00Z",
        streams=("btcusdt@trade",),
        recorder="pytest-binance-replay 0.1.0",
        test="tests/test_bot.py::test_dip",
        extra={"note": "by hand", "more": [1.5, None]},
    )


def test_a_header_may_leave_everything_open() -> None:
    assert parse_line(b'{"market":null,"streams":null,"cassette":1}') == Header()


@pytest.mark.parametrize(
    "raw",
    [
        b' { "t" : 5 , "stream" : "a@trade" , "data" : {"p": 1.10 } } \r\n',
        b'\t{"data":{"p": 1.10 },"stream":"a@trade","t":5}',
        b'{"t":5,"note":[1,{"x":2}],"stream":"a@trade","data":{"p": 1.10 },"more":0}',
        b'{"t":5,"stream":"a\\u0040trade","data":{"p": 1.10 }}',
    ],
)
def test_hand_made_lines_give_the_very_bytes_of_their_data(raw: bytes) -> None:
    assert parse_line(raw) == Frame(5, "a@trade", b'{"p": 1.10 }')


@pytest.mark.parametrize(
    "payload",
    [b"null", b'"text"', b"[1, 2.50]", b"-0.0e1", b'{"a":1,"a":2}', b'"\\ud800"'],
)
def test_any_json_value_is_a_payload(payload: bytes) -> None:
    raw = b'{"t":1,"stream":"a@trade","data":%b}' % payload
    assert parse_line(raw) == Frame(1, "a@trade", payload)
    assert is_payload(payload)


TIME = "receive time, integer microseconds since 1970"
PATH = "a path and query, as /api/v3/depth?symbol=BTCUSDT"
LONG = "x" * 50


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b"", "it is not a JSON object"),
        (b"[1]", "it is not a JSON object"),
        (b'"t"', "it is not a JSON object"),
        (b"{", "Expecting property name enclosed in double quotes at column 2"),
        (b"{t:1}", "Expecting property name enclosed in double quotes at column 2"),
        (b'{"t" 1}', "Expecting ':' delimiter at column 6"),
        (b'{"t":}', "Expecting value at column 6"),
        (b'{"t":1 "data":2}', "Expecting ',' delimiter at column 8"),
        (b'{"t":1,}', "Expecting property name enclosed in double quotes at column 8"),
        (b'{"data":{"a":[1 2]}}', "Expecting ',' delimiter at column 17"),
        (b'{"t":1} x', "Extra data at column 9"),
        (b'{"a\tb":1}', "Invalid control character at column 4"),
        (b'{"t":"1', "Unterminated string starting at column 6"),
        (b'{"t":1,\n"stream":"a"}', "it is more than one line"),
        (b'{"t":1\xff}', "its byte 7 is not UTF-8"),
        (b'{"t":NaN}', "NaN is not JSON"),
        (b'{"t":-Infinity}', "-Infinity is not JSON"),
        (b'{"t":%b}' % (b"1" * 5000), "it has a number of too many digits"),
        (
            b'{"t":%b1%b}' % (b"[" * 200_000, b"]" * 200_000),
            "its values are nested too deeply",
        ),
        (b'{"t":1,"t":1}', "it has 't' twice"),
        (
            b'{"foo":1}',
            "it has none of 'stream', 'rest', 'mark', 'end' and 'cassette'",
        ),
        (
            b'{"t":1,"stream":"a","rest":"/a","data":1}',
            "it has 'stream' and 'rest', which are different kinds of line",
        ),
        (b'{"stream":"a","data":1}', f"it has no 't' ({TIME})"),
        (b'{"t":1,"stream":"a"}', "it has no 'data' (the payload)"),
        (b'{"t":1.0,"stream":"a","data":1}', f"'t' is 1.0: expected {TIME}"),
        (b'{"t":true,"stream":"a","data":1}', f"'t' is true: expected {TIME}"),
        (b'{"t":null,"stream":"a","data":1}', f"'t' is null: expected {TIME}"),
        (b'{"t":"1","stream":"a","data":1}', f"'t' is \"1\": expected {TIME}"),
        (b'{"t":-1,"stream":"a","data":1}', f"'t' is -1: expected {TIME}"),
        (
            b'{"t":1723161253937085000,"stream":"a","data":1}',
            f"'t' is 1723161253937085000: expected {TIME}",
        ),
        (
            b'{"t":1,"stream":"","data":1}',
            "'stream' is \"\": expected a stream name, as btcusdt@trade",
        ),
        (
            b'{"t":1,"stream":["%b"],"data":1}' % LONG.encode(),
            f"'stream' is [\"{LONG[:38]}...: expected a stream name, as btcusdt@trade",
        ),
        (
            b'{"t":1,"stream":"\\ud800","data":1}',
            "'stream' is \"\\ud800\": expected whole characters, not half of one",
        ),
        (b'{"t":1,"rest":7,"status":200,"data":1}', f"'rest' is 7: expected {PATH}"),
        (
            b'{"t":1,"rest":"api","status":200,"data":1}',
            f"'rest' is \"api\": expected {PATH}",
        ),
        (
            b'{"t":1,"rest":"/a","data":1}',
            "it has no 'status' (an HTTP status, 100 to 599)",
        ),
        (
            b'{"t":1,"rest":"/a","status":"200","data":1}',
            "'status' is \"200\": expected an HTTP status, 100 to 599",
        ),
        (
            b'{"t":1,"rest":"/a","status":99,"data":1}',
            "'status' is 99: expected an HTTP status, 100 to 599",
        ),
        (b'{"t":1,"mark":1}', "'mark' is 1: expected the name of a mark"),
        (b'{"end":1}', "it has no 'frames' (a number of frames, 0 or more)"),
        (
            b'{"end":1,"frames":-1}',
            "'frames' is -1: expected a number of frames, 0 or more",
        ),
        (b'{"end":"x","frames":1}', f"'end' is \"x\": expected {TIME}"),
        (
            b'{"cassette":2}',
            "its format is version 2, and this package reads version 1; "
            "a newer pytest-binance-replay is needed",
        ),
        (
            b'{"cassette":true}',
            "'cassette' is true: expected the version of the format, 1",
        ),
        (b'{"cassette":0}', "'cassette' is 0: expected the version of the format, 1"),
        (
            b'{"cassette":1,"market":["spot"]}',
            '\'market\' is ["spot"]: expected "spot" or "usdm"',
        ),
        (b'{"cassette":1,"source":1}', "'source' is 1: expected a text"),
        (
            b'{"cassette":1,"streams":"a@trade"}',
            "'streams' is \"a@trade\": expected a list of stream names",
        ),
        (
            b'{"cassette":1,"streams":["a@trade",3]}',
            "'streams' is 3: expected stream names",
        ),
    ],
)
def test_what_is_no_cassette_line_says_why(raw: bytes, problem: str) -> None:
    with pytest.raises(CassetteLineError) as caught:
        parse_line(raw)
    assert caught.value.problem == problem
    assert str(caught.value) == f"not a cassette line: {problem}"


@st.composite
def damaged_lines(draw: st.DrawFn) -> bytes:
    raw = format_line(draw(LINES))
    start = draw(st.integers(0, len(raw)))
    end = draw(st.integers(start, len(raw)))
    return raw[:start] + draw(st.binary(max_size=4)) + raw[end:]


@given(st.binary() | st.text().map(str.encode) | damaged_lines())
def test_any_bytes_are_a_line_or_a_line_error(raw: bytes) -> None:
    try:
        line = parse_line(raw)
    except CassetteLineError:
        return
    assert isinstance(line, Line)


@pytest.mark.parametrize(
    "line",
    [
        Frame(1, "a@trade", b'{"a":1}\n'),
        Frame(1, "a@trade", b'{"a":\n1}'),
        Frame(1, "a@trade", b' {"a":1}'),
        Frame(1, "a@trade", b'{"a":1},"b":2'),
        Frame(1, "a@trade", b"not json"),
        Frame(1, "a@trade", b'"\xff"'),
        Frame(-1, "a@trade", b"1"),
        Frame(1, "", b"1"),
        RestAnswer(1, "api/v3/depth", 200, b"{}"),
        RestAnswer(1, "/api/v3/depth", 1000, b"{}"),
        Mark(1, "x", {"t": 1}),
        Mark(1, "x", {"mark": "y"}),
        Mark(1, "x", {"y": float("nan")}),
        Mark(1, "x", {"y": (1, 2)}),
        Header(version=2),
        Header(extra={"market": "spot"}),
        Header(extra={"mark": "x", "t": 1}),
        End(1, -1),
    ],
    ids=repr,
)
def test_what_would_not_read_back_is_not_written(line: Line) -> None:
    with pytest.raises(CassetteLineError):
        format_line(line)


def test_a_half_character_in_a_mark_is_written_as_an_escape() -> None:
    mark = Mark(1, "odd", {"half": "\ud800"})
    raw = format_line(mark)
    assert raw == b'{"t":1,"mark":"odd","half":"\\ud800"}\n'
    assert parse_line(raw) == mark


# What is not one line of JSON


@given(TIMES_US, st.none() | NAMES, st.binary() | TEXTS.map(str.encode))
def test_what_cannot_be_a_payload_survives_in_a_mark(
    time_us: int, stream: str | None, raw: bytes
) -> None:
    line = parse_line(format_line(unparsed_mark(time_us, stream, raw)))
    assert isinstance(line, Mark)
    assert (line.receive_time_us, line.name) == (time_us, "unparsed")
    assert line.fields.get("stream") == stream
    assert original_bytes(line) == raw


def test_text_in_a_mark_can_be_read_and_other_bytes_are_base64() -> None:
    assert format_line(unparsed_mark(1, "a@trade", b'{"a":\n1}')) == (
        b'{"t":1,"mark":"unparsed","stream":"a@trade","text":"{\\"a\\":\\n1}"}\n'
    )
    assert format_line(unparsed_mark(1, None, b"\xff\x00")) == (
        b'{"t":1,"mark":"unparsed","base64":"/wA="}\n'
    )


@pytest.mark.parametrize(
    "fields", [{}, {"text": 1}, {"text": "\ud800"}, {"base64": "?"}, {"base64": "é"}]
)
def test_a_mark_without_a_message_says_so(fields: dict[str, object]) -> None:
    with pytest.raises(
        CassetteLineError, match="the mark 'odd' keeps no message in 'text' or 'base64'"
    ):
        original_bytes(Mark(1, "odd", fields))


@given(st.binary() | payloads() | payloads().map(lambda payload: payload + b" "))
def test_a_payload_is_what_a_frame_can_keep(raw: bytes) -> None:
    try:
        format_line(Frame(1, "a@trade", raw))
    except CassetteLineError:
        assert not is_payload(raw)
    else:
        assert is_payload(raw)


@given(LINES, st.data())
def test_every_piece_of_a_line_is_seen_to_be_cut(
    line: Line, data: st.DataObject
) -> None:
    raw = format_line(line).rstrip(b"\n")
    length = data.draw(st.integers(1, len(raw) - 1))
    assert is_cut(raw[:length])
    assert is_cut(raw[:length] + bytes(7))
    assert not is_cut(raw)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", False),
        (b"  ", False),
        (b"\0\0", True),
        (b"x", False),
        (b'{"foo":1}', False),
        ('{"t":1,"stream":"é'.encode()[:-1], True),
    ],
)
def test_only_the_start_of_an_object_is_cut(raw: bytes, expected: bool) -> None:
    assert is_cut(raw) is expected


# Blocks


@st.composite
def written_frames(draw: st.DrawFn) -> bytes:
    """A frame as a program or a hand may write it, other members included."""
    frame = draw(FRAMES)
    blank = draw(st.sampled_from(["", "", " ", "\t", " \r "]))
    stream = json.dumps(frame.stream, ensure_ascii=draw(st.booleans()))
    members = {"t": str(frame.receive_time_us), "stream": stream}
    members["data"] = frame.payload.decode()
    order = draw(st.sampled_from([["t", "stream", "data"], ["data", "t", "stream"]]))
    for name in draw(st.lists(st.sampled_from(["note", "z"]), unique=True)):
        order.insert(draw(st.integers(0, len(order))), name)
        members[name] = draw(payloads()).decode()
    text = f"{blank},{blank}".join(
        f'"{name}"{blank}:{blank}{members[name]}' for name in order
    )
    return f"{blank}{{{blank}{text}{blank}}}{blank}".encode()


BLOCK_LINES = st.one_of(
    FRAMES.map(format_line),
    FRAMES.map(format_line),
    written_frames(),
    (REST_ANSWERS | MARKS | ENDS).map(format_line),
    st.sampled_from([b"", b" ", b"\r", b"\x0c"]),
).map(lambda raw: raw.removesuffix(b"\n"))


def lines_of(batch: Batch) -> list[Line]:
    columns = zip(batch.times_us, batch.streams, batch.payloads, strict=True)
    frames = (
        Frame(time, stream.decode(), payload) for time, stream, payload in columns
    )
    lines: list[Line] = []
    given = 0
    for before, line in batch.others:
        lines += [*islice(frames, before - given), line]
        given = before
    return [*lines, *frames]


@given(
    st.lists(BLOCK_LINES, max_size=6) | st.lists(written_frames(), max_size=6),
    st.sampled_from([b"\n", b"\r\n"]),
    st.booleans(),
)
@example([b'{"t":1,"stream":"a","data":{"a":1},"b":{"c":2}}'], b"\n", True)
@example([b'{"t":1,"stream":"a","data":{"a":1} , "b":{"c":2}}'], b"\r\n", False)
@example([b'{"t":1,"stream":"a","data":[1],"b":[2]}'], b"\n", True)
@example(
    [b'{"t":1,"stream":"a","data":[1]}', b'{"t":1,"stream":"b","data":{}}'], b"\n", True
)
@example(
    [b'{"x":{"t":1,"stream":"a","data":{}},"t":2,"stream":"b","data":1}'], b"\n", True
)
@example(
    [
        b'{"t":1,"stream":"a","data":{}}',
        b'{"t":2,"mark":"m","m":{"t":1,"stream":"a","data":{}}}',
    ],
    b"\n",
    True,
)
@example(
    [
        b'{"cassette":1}',
        b"",
        b'{"t":1,"stream":"a","data":{}}',
        b" ",
        b'{"end":1,"frames":1}',
    ],
    b"\n",
    False,
)
def test_a_block_says_what_its_lines_say_one_by_one(
    lines: list[bytes], line_end: bytes, ended: bool
) -> None:
    raw = line_end.join(lines) + (line_end if ended else b"")
    expected = [parse_line(line) for line in lines if line.strip()]
    assert lines_of(parse_block(raw, first_line=1, trusted=False)) == expected


@given(st.lists(FRAMES | REST_ANSWERS | MARKS, max_size=6))
def test_a_trusted_block_says_what_was_written(lines: list[Line]) -> None:
    raw = b"".join(map(format_line, lines))
    assert lines_of(parse_block(raw, first_line=1, trusted=True)) == lines


@pytest.mark.parametrize("trusted", [True, False])
def test_a_broken_payload_in_a_sound_line_is_left_to_others(trusted: bool) -> None:
    raw = b'{"t":1,"stream":"a@trade","data":{"p":}}\n'
    batch = parse_block(raw, first_line=1, trusted=trusted)
    assert batch == Batch([1], [b"a@trade"], [b'{"p":}'], [])


FRAME_LINE = b'{"t":1,"stream":"a@trade","data":{}}\n'


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (
            FRAME_LINE + b"\nnonsense\n" + FRAME_LINE,
            "dip.jsonl:13: not a cassette line: it is not a JSON object. "
            "Restore it from git, or cut it out.",
        ),
        (
            b'{"t":1,"mark":"m"}\n\n' + FRAME_LINE + b'{"t":2,"mark":2}\n',
            "dip.jsonl:14: not a cassette line: 'mark' is 2: expected the name of a "
            "mark. Restore it from git, or cut it out.",
        ),
        (
            FRAME_LINE + b'{"t":01,"stream":"a@trade","data":{}}\n',
            "dip.jsonl:12: not a cassette line: Expecting ',' delimiter at column 7. "
            "Restore it from git, or cut it out.",
        ),
        (
            FRAME_LINE + FRAME_LINE.replace(b"{}", b'{"s":"\xff"}'),
            "dip.jsonl:12: not a cassette line: its byte 40 is not UTF-8. "
            "Restore it from git, or cut it out.",
        ),
        (
            b'{"cassette":1}\n',
            "dip.jsonl:11: a second header. Were two cassettes joined by hand? "
            "Play both by name, or remove this line.",
        ),
    ],
)
def test_a_broken_line_of_a_block_is_named_by_its_number(
    raw: bytes, message: str
) -> None:
    with pytest.raises(CassetteFormatError) as caught:
        parse_block(raw, first_line=11, trusted=False, path="dip.jsonl")
    assert str(caught.value) == message


def test_a_header_may_only_come_first() -> None:
    header, end = b'\n{"cassette":1}\n', b'{"end":1,"frames":1}\n'
    batch = parse_block(header + FRAME_LINE + end, first_line=1, trusted=False)
    assert batch.others == [(0, Header()), (1, End(1, 1))]
    for raw in (FRAME_LINE + header, end + header):
        with pytest.raises(CassetteFormatError, match="cassette:3: a second header"):
            parse_block(raw, first_line=1, trusted=False)
