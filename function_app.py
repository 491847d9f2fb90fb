"""The function app: every blueprint is named here, because one that is not is silently absent."""

import logging

import azure.functions as func

from functions import (
    captures,
    data_sharing,
    deletions,
    metrics,
    openapi,
    opt_outs,
    purge,
    receipt_keys,
    reviews,
    status,
    sweep,
)
from shared import log

# At INFO the SDKs log every request with its full address, on each capture.
logging.getLogger("azure").setLevel(logging.WARNING)
log.as_json()

# Anonymous to the host, because every route that is not for anybody demands a bearer token itself.
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
for module in (
    data_sharing,
    deletions,
    captures,
    reviews,
    status,
    openapi,
    receipt_keys,
    opt_outs,
    purge,
    sweep,
    metrics,
):
    app.register_functions(module.blueprint)
