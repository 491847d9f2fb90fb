"""Route templates, matched the way the platform does it: segment by segment, literals in any case."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

_PARAMETER = re.compile(r"\{(?P<name>\w+)(?::(?P<constraint>\w+))?\}")
_CATCH_ALL = re.compile(r"\{\*(?P<name>\w+)\}")
_CONSTRAINTS = {
    None: re.compile(r".+", re.DOTALL),
    "int": re.compile(r"[-+]?[0-9]{1,10}"),
    "alpha": re.compile(r"[A-Za-z]+"),
    "guid": re.compile(r"[0-9A-Fa-f]{8}-?(?:[0-9A-Fa-f]{4}-?){3}[0-9A-Fa-f]{12}"),
}
_ENCODED_SLASH = re.compile("(%2F)", re.IGNORECASE)


@dataclass(frozen=True)
class _Segment:
    text: str
    """The literal in lower case, or the parameter's name."""
    pattern: re.Pattern[str] | None
    """None for a literal."""


@dataclass(frozen=True)
class Route:
    """One template, with the prefix of ``host.json`` in front."""

    segments: tuple[_Segment, ...]
    catch_all: str | None = None
    """The parameter that takes what is left of a path, all of its segments."""

    @classmethod
    def parse(cls, template: str) -> "Route":
        """Read a template such as ``api/tenants/{tenantId}/days/{day:int}`` or ``api/files/{*path}``.

        Raises:
            ValueError: syntax that this host does not match: optional parameters, a catch-all that is not the last
                segment, defaults, other constraints, a parameter that is a part of a segment, or a name used twice.
        """
        *first, last = template.strip("/").split("/")
        rest = _CATCH_ALL.fullmatch(last)
        segments = tuple(map(_segment, first if rest else [*first, last]))
        names = [segment.text for segment in segments if segment.pattern] + ([rest["name"]] if rest else [])
        if len(names) != len({name.lower() for name in names}):
            raise ValueError(f"route {template!r} has a parameter twice")
        return cls(segments, rest["name"] if rest else None)

    def match(self, path: Sequence[str]) -> dict[str, str] | None:
        """Return the parameters if the decoded segments of ``path`` fit, else None.

        A catch-all takes a slash at the end as well; where nothing is left for it, it is no parameter.
        """
        fixed = len(self.segments)
        rest = "/".join(path[fixed:])
        segments = path if path[-1] else path[:-1]  # a slash at the end changes nothing else
        if len(segments) != fixed and not (self.catch_all and len(segments) > fixed):
            return None
        values = {self.catch_all: rest} if self.catch_all and rest else {}
        for segment, value in zip(self.segments, segments, strict=False):
            if segment.pattern is None:
                if segment.text != value.lower():
                    return None
            elif not segment.pattern.fullmatch(value):
                return None
            else:
                values[segment.text] = value
        return values


def split(raw_path: str) -> list[str]:
    """Split a path as it came over the wire and percent-decode the segments; ``%2F`` stays, as in Kestrel.

    After a slash at the end comes an empty segment.
    """
    segments = raw_path.removeprefix("/").split("/")
    return ["".join(p if p.upper() == "%2F" else unquote(p) for p in _ENCODED_SLASH.split(s)) for s in segments]


def _segment(text: str) -> _Segment:
    if "{" not in text and "}" not in text:
        if not text or "*" in text or "?" in text:
            raise ValueError(f"route segment {text!r} is not a name")
        return _Segment(text.lower(), None)
    parameter = _PARAMETER.fullmatch(text)
    if parameter is None or parameter["constraint"] not in _CONSTRAINTS:
        raise ValueError(f"route segment {text!r} is more than the local host matches ({{name}}, :int, :alpha, :guid)")
    return _Segment(parameter["name"], _CONSTRAINTS[parameter["constraint"]])
