"""What a body says, out of what was sent: it needs a length, may be gzip, and may begin with a byte order mark."""

import codecs
import zlib

import azure.functions as func

from shared.problems import InvalidRequest, LengthRequired, PayloadTooLarge, UnsupportedEncoding

_GZIP = ["gzip"], ["x-gzip"]  # RFC 9110, 8.4.1.3: the same
_GZIP_ALONE = 16 + zlib.MAX_WBITS


def content(req: func.HttpRequest, max_bytes: int) -> bytes:
    """Return the body of a request, with its encoding undone and without a byte order mark.

    Args:
        req: the request; the platform neither passes on a body without a length nor undoes its encoding.
        max_bytes: how long the body may be, as it is sent and when it is undone.

    Raises:
        LengthRequired: if no body came because nothing said how long it is.
        UnsupportedEncoding: if its encoding is another than gzip.
        PayloadTooLarge: if it is longer; no more of it is undone.
        InvalidRequest: if it is no gzip, and says that it is.
    """
    sent = req.get_body()
    if not sent and "content-length" not in req.headers:
        raise LengthRequired()
    named = [name.strip().lower() for name in req.headers.get("content-encoding", "").split(",")]
    encodings = [name for name in named if name not in {"", "identity"}]
    if encodings and encodings not in _GZIP:
        raise UnsupportedEncoding()
    if len(sent) > max_bytes:
        raise PayloadTooLarge(max_bytes)
    return (_expanded(sent, max_bytes) if encodings else sent).removeprefix(codecs.BOM_UTF8)


def _expanded(sent: bytes, max_bytes: int) -> bytes:
    # One member, as clients send: many tiny ones would cost more than all that they hold.
    gzip = zlib.decompressobj(_GZIP_ALONE)
    try:
        expanded = gzip.decompress(sent, max_bytes + 1)
    except zlib.error:
        raise InvalidRequest(InvalidRequest.NO_GZIP) from None
    if len(expanded) > max_bytes:
        raise PayloadTooLarge(max_bytes)
    if not gzip.eof or gzip.unused_data:
        raise InvalidRequest(InvalidRequest.NO_GZIP)
    return expanded
