"""For whoever checks a receipt: the public keys, without a token."""

from typing import Literal

import azure.functions as func

from functions._api.answers import AnswerModel, json_answer
from functions._api.http import Call, serves
from functions._api.operations import Answer, Operation
from shared.bootstrap import services
from shared.identity.callers import EVERYBODY
from shared.problems import InternalError, Unavailable

blueprint = func.Blueprint()


class ReceiptKeyAnswer(AnswerModel):
    """A public key (RFC 7517). ``kid`` is its SHA-256 thumbprint (RFC 7638), as in the header of a receipt's JWS."""

    kty: Literal["EC"]
    crv: Literal["P-256"]
    x: str
    y: str
    kid: str
    use: Literal["sig"]
    alg: Literal["ES256"]


class ReceiptKeysAnswer(AnswerModel):
    """A JWK Set."""

    keys: list[ReceiptKeyAnswer]


_EXAMPLE = ReceiptKeyAnswer(
    kty="EC",
    crv="P-256",
    x="f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    y="x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    kid="oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U",
    use="sig",
    alg="ES256",
)
_GET = Operation(
    "ReceiptKeys_List",
    "GET",
    "receipt-keys",
    "Show the keys that check the receipts of deletions.",
    tag="Deletions",
    who=EVERYBODY,
    answers={200: Answer("All keys that receipts have been signed with.", ReceiptKeysAnswer(keys=[_EXAMPLE]))},
    problems=(InternalError, Unavailable),
    description="A receipt's jws is signed with ES256, by the key that its header's kid names. A new key may show here "
    "a minute after the first receipt that it has signed.",
)


@serves(blueprint, _GET)
async def receipt_keys(call: Call) -> func.HttpResponse:
    """Show the keys that check the receipts of deletions."""
    keys = await services().signer.public_keys()
    # Through the model, so that nothing but the public members can ever leave.
    return json_answer(ReceiptKeysAnswer(keys=[ReceiptKeyAnswer(**key) for key in keys]).to_json())
