"""The name of the cassette that belongs to a test which names none.

It is readable where that is safe, and made unique by a hash where two tests could
otherwise meet in one file: on a disk that does not tell upper from lower case, by
characters that file names cannot hold, or by length.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_NAME_BYTES = 100
"""Longest file name, without its suffix; file systems allow 255 with it."""

_UNSAFE = r"[^A-Za-z0-9_.=+,\[\]-]"


def cassette_name(
    module: str,
    classes: Iterable[str],
    function: str,
    parameters: str | None,
    *,
    test: str,
    has_twin: bool = False,
) -> str:
    """Return the cassette name of a test, relative to the directory of cassettes.

    Args:
        module: Path of the test module below rootdir, with `/`, without suffix.
        classes: Names of the classes around the test, outermost first.
        function: Name of the test function.
        parameters: The parameter set's id; None for a test without parameters.
        test: What pytest calls the test; decides the hash where one is needed.
        has_twin: Whether another test differs from it by nothing but upper and lower
            case.
    """
    plain = ".".join((*classes, function))
    name = plain if parameters is None else f"{plain}[{parameters}]"
    safe = re.sub(_UNSAFE, "-", name)
    if has_twin or safe != name or len(safe) > MAX_NAME_BYTES:
        digest = hashlib.sha256(test.encode(errors="surrogatepass")).hexdigest()[:6]
        safe = f"{safe[: MAX_NAME_BYTES - 7]}-{digest}"
    return f"{module}/{safe}"


def differs_by_case(name: str, others: Iterable[str]) -> bool:
    """Return whether one of the others is the name but for upper and lower case."""
    folded = name.casefold()
    return any(other != name and other.casefold() == folded for other in others)
