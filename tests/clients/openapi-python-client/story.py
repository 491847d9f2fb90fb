"""Opt in, capture, review, status, opt out: with the client that openapi-python-client makes."""

import json
import os
from typing import TypeVar
from uuid import UUID

from data_sharing import AuthenticatedClient
from data_sharing.api.captures import captures_create
from data_sharing.api.data_sharing import data_sharing_set
from data_sharing.api.review import captures_list, captures_read, review_grants_approve, review_grants_create
from data_sharing.api.service import status_get
from data_sharing.models import (
    Capture,
    CaptureBatch,
    DataSharingRequest,
    Problem,
    ReviewGrantRequest,
)

T = TypeVar("T")

STORY = json.loads(os.environ["STORY"])
TENANT = UUID(STORY["tenantId"])


def who(name: str) -> AuthenticatedClient:
    return AuthenticatedClient(base_url=STORY["api"], token=STORY["tokens"][name], raise_on_unexpected_status=True)


def good(answer: T | Problem | None) -> T:
    assert answer is not None and not isinstance(answer, Problem), answer
    return answer


DataSharingRequest(enabled=True, geo="atlantis")  # type: ignore[arg-type]  # there is no such geo
opt_in = DataSharingRequest(enabled=True, geo="europe", notice="2026-11-01", locale="en")
on = good(data_sharing_set.sync(TENANT, client=who("admin"), body=opt_in))

assert on.since is not None
capture = Capture(on.since, feature="flow", input_="a question", output="an answer")
posted = captures_create.sync_detailed(
    TENANT, client=who("service"), body=CaptureBatch([capture]), idempotency_key="openapi-python-client"
)
stored = good(posted.parsed)

refused = captures_list.sync(TENANT, client=who("reviewer"))
assert isinstance(refused, Problem)

wish = ReviewGrantRequest("improve", "Formulas are refused too often; see why.", 60)
asked = good(review_grants_create.sync(TENANT, client=who("reviewer"), body=wish))
approved = good(review_grants_approve.sync(TENANT, asked.grant_id, client=who("approver")))

[first] = good(captures_list.sync(TENANT, client=who("reviewer"))).value
read = good(captures_read.sync(TENANT, first.day, stored.batch_id, client=who("reviewer")))

status = good(status_get.sync(client=who("operator")))
europe = status.accounts["steurope"]
off = good(data_sharing_set.sync(TENANT, client=who("admin"), body=DataSharingRequest(enabled=False)))

print(
    json.dumps(
        {
            "on": on.to_dict(),
            "postedStatus": posted.status_code,
            "stored": stored.to_dict(),
            "refused": refused.to_dict(),
            "approved": approved.to_dict(),
            "lines": read.payload.read().decode(),
            "europe": europe.oldest_day.isoformat() if europe.oldest_day else None,
            "lastPurge": europe.last_purge.outcome if europe.last_purge else None,
            "off": off.to_dict(),
        }
    )
)
