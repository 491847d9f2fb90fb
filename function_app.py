"""The function app: whatever a module of ``functions`` declares on its blueprint."""

import gc
import importlib
import logging
import pkgutil

import azure.functions as func

import functions
from shared import log

# At INFO the SDKs log every request with its full address, on each capture.
logging.getLogger("azure").setLevel(logging.WARNING)
log.as_json()

# Anonymous to the host, because every route that is not for everybody demands a bearer token itself.
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
# What is imported here stays; to look through it for garbage, again and again, would take a tenth of a cold start.
gc.disable()
# Found and not listed: a blueprint that somebody forgot to list would be silently absent.
for found in pkgutil.iter_modules(functions.__path__):
    if not found.name.startswith("_"):
        app.register_functions(importlib.import_module(f"functions.{found.name}").blueprint)
gc.freeze()
gc.enable()
