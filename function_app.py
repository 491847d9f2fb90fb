"""The function app: every blueprint is named here, because one that is not is silently absent."""

import logging

import azure.functions as func

from functions import captures, data_sharing, deletions, openapi, opt_outs, purge, reviews, status, sweep
from shared import log

# At INFO the SDKs log every request with its full address, on each capture.
logging.getLogger("azure").setLevel(logging.WARNING)
log.as_json()

# Anonymous to the host, because every route but health demands a bearer token itself.
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
for module in (data_sharing, deletions, captures, reviews, status, openapi, opt_outs, purge, sweep):
    app.register_functions(module.blueprint)
