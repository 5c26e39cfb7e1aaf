"""The native protocol: control messages, their replies, the combined wrapper.

A request passes its checks in one order, and the first fault wins: is it JSON, which
method, which id, which parameters. Nothing of a faulty request is carried out.

Source:
    Binance Spot API docs, "WebSocket Streams": "Live subscribing/unsubscribing to
    streams" and "Error messages"; Binance USDⓈ-M Futures docs, "Live Subscribing".
    What the documentation leaves open was measured on the live exchange; where not
    even that is known, the code says that the choice is ours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache
from typing import Final, Literal, TypeAlias, get_args

from pytest_binance_replay.errors import JsonTextError
from pytest_binance_replay.protocols.json_text import JsonValue, end_of, parse_json
from pytest_binance_replay.streams import Market, is_well_formed

Method = Literal[
    "SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY"
]
Fault = Literal["json", "stream", "limit", "other"]
OnBadRequest = Literal["reply", "reply_close", "close"]


class Missing(Enum):
    """What stands for an id that a message does not have; null is an id."""

    ID = "no id"


NO_ID: Final = Missing.ID
RequestId: TypeAlias = int | str | None
"""An id as the client sent it: `7`, `"7"` and null are three different ones."""

CLOSE_CODE = 1008
CLOSE_REASON = "Invalid request"
"""Code and reason of the close that may follow a bad request."""

_METHODS: dict[str, Method] = {method: method for method in get_args(Method)}
_STRING_ID = re.compile(r"[A-Za-z0-9-]{0,36}")
_ID_RANGE = range(-(2**63), 2**63)


@dataclass(frozen=True, slots=True)
class Request:
    """A control message that passed all checks.

    Attributes:
        method: What to do.
        params: Stream names as sent, repetitions included; `("combined", True)` of
            SET_PROPERTY, `("combined",)` of GET_PROPERTY; empty for
            LIST_SUBSCRIPTIONS.
        id: To be repeated in the reply, with its JSON type.
    """

    method: Method
    params: tuple[str | bool, ...]
    id: RequestId


@dataclass(frozen=True, slots=True)
class BadRequest:
    """A control message that gets an error.

    Attributes:
        code: The exchange's number for the kind of error.
        msg: The exchange's text.
        id: The request's id; `NO_ID` if none could be read.
        fault: What kind of fault it is, as far as markets differ in what they do to
            the connection.
    """

    code: int
    msg: str
    id: RequestId | Missing
    fault: Fault


def parse_request(text: str) -> Request | BadRequest:
    """Parse what a client sent in one text message.

    Args:
        text: Any text. Members that no method has are ignored, and so are the
            parameters of LIST_SUBSCRIPTIONS; of a member named twice the last counts.

    Returns:
        The request, or what is wrong with it.

    Example:
        >>> parse_request('{"method":"SUBSCRIBE","params":["ltcbtc@trade"],"id":11}')
        Request(method='SUBSCRIBE', params=('ltcbtc@trade',), id=11)
    """
    try:
        value = parse_json(text)
    except JsonTextError as error:
        return BadRequest(3, f"Invalid JSON: {error}", NO_ID, "json")
    if not isinstance(value, dict):
        return _invalid(_missing_method(text), NO_ID)
    return _parse_object(value, text)


def format_result(result: object, request_id: RequestId) -> str:
    """Format the reply to a request that was carried out.

    Args:
        result: None; the names of LIST_SUBSCRIPTIONS; the value of GET_PROPERTY.
        request_id: As the request has it.

    Example:
        >>> format_result(None, 11)
        '{"result":null,"id":11}'
    """
    return _compact({"result": result, "id": request_id})


def format_error(code: int, msg: str, request_id: RequestId | Missing) -> str:
    """Format the reply to a request that was not; without an id if it had none.

    Example:
        >>> format_error(0, "Unknown property", "7")
        '{"error":{"code":0,"msg":"Unknown property"},"id":"7"}'
    """
    reply: dict[str, object] = {"error": {"code": code, "msg": msg}}
    if request_id is not NO_ID:
        reply["id"] = request_id
    return _compact(reply)


def too_many_subscriptions(request_id: RequestId) -> BadRequest:
    """Return what is wrong with a request that would pass the limit of streams."""
    return BadRequest(4, "Too many subscriptions", request_id, "limit")


def combined_text(stream: bytes, payload: bytes) -> bytes:
    """Wrap a payload as a combined connection gets it, its bytes untouched.

    Args:
        stream: Stream name as subscribed, UTF-8.
        payload: The event as recorded.
    """
    return _combined_prefix(stream) + payload + b"}"


def reaction(
    bad: BadRequest, market: Market, *, on_bad_request: OnBadRequest | None = None
) -> OnBadRequest:
    """Decide what a bad request does to the connection.

    Args:
        bad: What the client sent.
        market: Whose manners apply.
        on_bad_request: What to do wherever the markets or the years differ: on text
            that is not JSON, a malformed stream name, too many streams. None does
            as the market does: spot replies, the futures reply and close. Other
            faults get a reply whatever this says.

    Source:
        Binance USDⓈ-M Futures docs, change log of 2023-06-22, and measurements of
        2026. That spot stays open after too many streams is our choice.
    """
    if bad.fault == "other":
        return "reply"
    return on_bad_request or ("reply_close" if market == "usdm" else "reply")


def close_after(
    bad: BadRequest, market: Market, *, on_bad_request: OnBadRequest | None = None
) -> bool:
    """Tell whether a bad request closes the connection, see `reaction`."""
    return reaction(bad, market, on_bad_request=on_bad_request) != "reply"


@lru_cache(maxsize=4096)
def _combined_prefix(stream: bytes) -> bytes:
    return b'{"stream":%b,"data":' % _compact(stream.decode()).encode()


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _parse_object(members: dict[str, JsonValue], text: str) -> Request | BadRequest:
    request_id = _read_id(members)
    if "method" not in members:
        return _invalid(_missing_method(text), request_id)
    name = _spell(members["method"])
    if name not in _METHODS:
        return _invalid(_unknown_variant(name), request_id)
    if request_id is NO_ID:
        return _invalid("request ID must be an unsigned integer")
    method = _METHODS[name]
    params = _PARAMETERS[method](members.get("params"))
    if isinstance(params, BadRequest):
        return replace(params, id=request_id)
    return Request(method, params, request_id)


def _read_id(members: dict[str, JsonValue]) -> RequestId | Missing:
    """Return the id if it is of a kind that spot documents since 2023-12-04."""
    match members.get("id", NO_ID):
        case None:
            return None
        case bool():
            return NO_ID
        case int() as number if number in _ID_RANGE:
            return number
        case str() as text if _STRING_ID.fullmatch(text):
            return text
        case _:
            return NO_ID


def _spell(method: JsonValue) -> str:
    return method if isinstance(method, str) else _compact(method)


def _missing_method(text: str) -> str:
    line, column = end_of(text, len(text.rstrip(" \t\n\r")))
    return f"missing field `method` at line {line} column {column}"


def _unknown_variant(name: str) -> str:
    expected = ", ".join(f"`{method}`" for method in _METHODS)
    return f"unknown variant `{name}`, expected one of {expected}"


def _invalid(
    reason: str, request_id: RequestId | Missing = NO_ID, *, fault: Fault = "other"
) -> BadRequest:
    return BadRequest(2, f"Invalid request: {reason}", request_id, fault)


_Params: TypeAlias = tuple[str | bool, ...]


def _check_streams(params: JsonValue) -> _Params | BadRequest:
    if not isinstance(params, list):
        return _invalid("streams must be an array")
    names = [name for name in params if isinstance(name, str) and is_well_formed(name)]
    if len(names) < len(params):
        return _invalid("invalid stream", fault="stream")
    return tuple(names)


def _check_nothing(_params: JsonValue) -> _Params:
    return ()


def _check_value(params: JsonValue) -> _Params | BadRequest:
    bad = _check_property(params, max_size=2)
    if bad is not None:
        return bad
    match params:
        case [str() as name, bool() as value]:
            return name, value
        case _:
            return BadRequest(1, "Invalid value type: expected Boolean", NO_ID, "other")


def _check_name(params: JsonValue) -> _Params | BadRequest:
    return _check_property(params, max_size=1) or ("combined",)


def _check_property(params: JsonValue, *, max_size: int) -> BadRequest | None:
    given = params if isinstance(params, list) else []
    if len(given) > max_size:
        return _invalid("too many parameters")
    if not given or not isinstance(given[0], str):
        return _invalid("property name must be a string")
    if given[0] != "combined":
        return BadRequest(0, "Unknown property", NO_ID, "other")
    return None


_PARAMETERS: dict[Method, Callable[[JsonValue], _Params | BadRequest]] = {
    "SUBSCRIBE": _check_streams,
    "UNSUBSCRIBE": _check_streams,
    "LIST_SUBSCRIPTIONS": _check_nothing,
    "SET_PROPERTY": _check_value,
    "GET_PROPERTY": _check_name,
}
