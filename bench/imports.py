"""``python -m bench.imports sdks`` or ``app``: import once, in a fresh process, and tell what it took."""

import importlib
import json
import sys
import time

_SDKS = (
    "azure.functions",
    "azure.cosmos.aio",
    "azure.storage.blob.aio",
    "azure.identity.aio",
    "azure.keyvault.keys.aio",
    "azure.keyvault.keys.crypto.aio",
)
"""What the app imports of Azure's, as its modules name it."""


def main() -> None:
    """Import, for the app also index its functions, and print the seconds."""
    started, used = time.perf_counter(), time.process_time()
    if sys.argv[1:] == ["app"]:
        importlib.import_module("function_app").app.get_functions()
    else:
        for name in _SDKS:
            importlib.import_module(name)
    told = {"seconds": time.perf_counter() - started, "CPU s": time.process_time() - used}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
