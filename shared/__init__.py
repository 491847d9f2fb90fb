"""The rules and the stores of the data-sharing service; nothing here knows that Azure Functions calls it.

``__version__`` is the release, by Semantic Versioning. It speaks of the HTTP API, of the ledger and of the receipts;
``CHANGELOG.md`` says what breaks each of them.
"""

__version__ = "1.0.0"
