"""``python -m audit verify-receipt | posture``: what does not need the service, and must not have to trust it."""

import argparse
import asyncio
import sys
import uuid
from pathlib import Path

from audit.command_line import Parser
from audit.posture import PostureError
from audit.posture import run as check_posture
from audit.receipts import ReceiptError, read_keys, read_receipt


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code: 0, or 1 if what was checked does not hold or could not be checked."""
    parser = Parser(prog="python -m audit", description="Checks from outside the service.")
    commands = parser.add_subparsers(dest="command", required=True)
    receipt = commands.add_parser("verify-receipt", help="check a receipt, offline (docs/receipts.md)")
    receipt.add_argument(
        "file", type=Path, help="a deletion or a consent receipt as the API answers it, or the receipt's jws alone"
    )
    receipt.add_argument(
        "--notice", type=Path, help="the text that was agreed to, which must be the one in the receipt"
    )
    receipt.add_argument("--ledger", type=Path, help="the tenant's history, which must have the events in the receipt")
    receipt.add_argument("--keys", type=Path, required=True, help="a JWK Set, as GET /api/receipt-keys answers")
    posture = commands.add_parser("posture", help="check how a deployment's accounts are set up (docs/posture.md)")
    posture.add_argument("--settings", type=Path, help="the service's settings, a JSON file; the environment if none")
    posture.add_argument("--subscription", type=_subscription, help="the id of the deployment's subscription on Azure")
    posture.add_argument("--resource-group", help="its resource group there")
    options = parser.parse_args(arguments)
    try:
        if options.command == "verify-receipt":
            signed = read_receipt(options.file, read_keys(options.keys))
            if options.notice:
                signed = signed.beside_notice(options.notice)
            if options.ledger:
                signed = signed.beside_ledger(options.ledger)
            print(signed.table())
            return 0
        return asyncio.run(check_posture(options.settings, options.subscription, options.resource_group))
    except (ReceiptError, PostureError) as error:
        print(error, file=sys.stderr)
        return 1


def _subscription(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise argparse.ArgumentTypeError("a subscription is given by its id, a GUID") from None


if __name__ == "__main__":
    sys.exit(main())
