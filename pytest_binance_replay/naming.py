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

_SAFE = re.compile(r"[^A-Za-z0-9_.=+,\[\]-]")


def cassette_name(
    module: str,
    classes: Iterable[str],
    function: str,
    parameters: str | None,
    *,
    node_id: str,
    neighbours: Iterable[str] = (),
) -> str:
    """Return the cassette name of a test, relative to the directory of cassettes.

    Args:
        module: Path of the test module below rootdir, with `/`, without suffix.
        classes: Names of the classes around the test, outermost first.
        function: Name of the test function.
        parameters: The parameter set's id; None for a test without parameters.
        node_id: What pytest calls the test; decides the hash where one is needed.
        neighbours: Other names in the same module or class.
    """
    plain = ".".join((*classes, function))
    name = plain if parameters is None else f"{plain}[{parameters}]"
    safe = _SAFE.sub("-", name)
    folded = {other.casefold() for other in neighbours if other != function}
    if (
        safe != name
        or len(safe) > MAX_NAME_BYTES
        or (parameters or "") != (parameters or "").lower()
        or function.casefold() in folded
    ):
        digest = hashlib.sha256(node_id.encode()).hexdigest()[:6]
        safe = f"{safe[: MAX_NAME_BYTES - 7]}-{digest}"
    return f"{module}/{safe}"
