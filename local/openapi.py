"""``python -m local.openapi``: writes docs/openapi.json anew, the document that the service answers."""

import json
import sys
from pathlib import Path

import function_app  # noqa: F401 - with it every module has declared what it serves
from functions._api.openapi import document
from local.process import ROOT


def main(arguments: list[str]) -> None:
    """Write the document into the file that is named, or else into the one in the repository."""
    file = Path(arguments[0]) if arguments else ROOT / "docs" / "openapi.json"
    file.write_text(json.dumps(document(), indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
