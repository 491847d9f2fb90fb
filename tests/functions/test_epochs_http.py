"""P2 over HTTP on two instances that rely on settings while their epochs stay (``CONSENT_EPOCHS=on``, D21)."""

from typing import Any

import pytest

from local.tokens import Role
from shared import bootstrap
from shared.bootstrap import Services
from shared.model import deadlines
from shared.ports import StoreUnavailable
from shared.stores.memory import MemoryOperations
from tests.functions.api import Api, api, opt_in
from tests.tokens import Issuer, verifier

__all__ = ["api"]
OFF = {"enabled": False}


@pytest.fixture
def instances(api: Api) -> tuple[Services, Services]:
    api.world.consent_epochs = True
    return api.world.services(verifier(Issuer(), api.world.clock)), api.world.services(
        verifier(Issuer(), api.world.clock)
    )


def on(instance: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap._Process, "services", instance)


async def asked(api: Api, method: str) -> tuple[int, Any]:
    """Opt out, or look."""
    put = method == "PUT"
    answer = await (api.call("data_sharing", "PUT", body=OFF) if put else api.call("data_sharing_get"))
    return answer[:2]


async def test_an_opt_out_that_one_instance_answered_ends_captures_on_the_other(
    api: Api, instances: tuple[Services, Services], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = instances
    on(one, monkeypatch)
    await opt_in(api)
    on(other, monkeypatch)
    assert (await api.post(api.batch()))[0] == 201
    on(one, monkeypatch)
    api.world.clock.slept.clear()
    assert (await api.call("data_sharing", "PUT", body=OFF))[0] == 200
    assert api.world.clock.slept == [deadlines.CONSENT_LEASE_SECONDS]
    on(other, monkeypatch)
    assert (await api.post(api.batch(), key="after"))[:2] == (403, "data-sharing-off")


@pytest.mark.parametrize("repeat", ["PUT", "GET"])
async def test_an_opt_out_whose_epoch_cannot_be_changed_is_answered_503_until_it_is(
    api: Api, instances: tuple[Services, Services], monkeypatch: pytest.MonkeyPatch, repeat: str
) -> None:
    one, other = instances
    on(one, monkeypatch)
    await opt_in(api)
    on(other, monkeypatch)
    assert (await api.post(api.batch()))[0] == 201

    async def never(self: MemoryOperations, shard: str) -> None:
        raise StoreUnavailable("cosmos-timeout")

    on(one, monkeypatch)
    change = MemoryOperations.change_epoch
    monkeypatch.setattr(MemoryOperations, "change_epoch", never)
    for call in ("PUT", "GET", "PUT"):
        assert (await asked(api, call))[0] == 503, "though it is committed"
    status, setting, _ = await api.call("data_sharing_get", role=Role.OPERATOR)
    assert (status, setting["enabled"]) == (200, False), "who is no administrator is promised nothing"
    monkeypatch.setattr(MemoryOperations, "change_epoch", change)
    status, setting = await asked(api, repeat)
    assert (status, setting["enabled"]) == (200, False)
    on(other, monkeypatch)
    assert (await api.post(api.batch(), key="after"))[:2] == (403, "data-sharing-off")
