"""Configuration: refused by name when wrong, and never repeated (they may hold keys)."""

import json

import pytest

from shared.configuration import ENTRA_ISSUERS, ENTRA_JWKS_URI, Configuration, ConfigurationError
from tests.unit.settings import GOOD, SECRET
from tests.world import OTHER_TENANT, TENANT

BLOBS = "https://steurope.blob.core.windows.net"


def test_a_deployment_needs_six_settings_and_trusts_entra() -> None:
    settings = Configuration.read(GOOD)
    assert settings.cosmos == "https://cosmos.example/"
    assert [(each.geo, each.state) for each in settings.storage] == [("europe", "open"), ("unitedstates", "open")]
    assert settings.operator_tenant_id == "7d2f4c1e-5b0a-4e86-9c33-1f6a8e0b2d47"
    assert settings.audiences == ("api://one", "two")
    assert (settings.issuers, settings.jwks_uri) == (ENTRA_ISSUERS, ENTRA_JWKS_URI)
    assert settings.receipt_key == "https://kv-receipts.vault.azure.net/keys/receipts"
    assert settings.retention_days == 30
    assert settings.consent_epochs is False


@pytest.mark.parametrize(("value", "trusted"), [("on", True), (" on ", True), ("off", False), ("", False)])
def test_p2_epochs_are_trusted_only_if_the_setting_says_so(value: str, trusted: bool) -> None:
    """An instance of before commits and changes no epoch: nobody may rely on them while there is one (D21)."""
    assert Configuration.read({**GOOD, "CONSENT_EPOCHS": value}).consent_epochs is trusted


def test_the_local_stack_sets_connection_strings_and_its_own_issuer() -> None:
    local = {
        **GOOD,
        "COSMOS_CONNECTION__accountEndpoint": "",
        "COSMOS_CONNECTION": "AccountEndpoint=http://127.0.0.1:1/;AccountKey=a2V5;",
        "STORAGE_ACCOUNTS": json.dumps({"europe": "AccountName=steurope;AccountKey=a2V5"}),
        "TOKEN_ISSUER": "http://127.0.0.1:2/{tenantid}/v2.0",
        "TOKEN_JWKS_URI": "http://127.0.0.1:2/keys",
        "RECEIPT_KEY": ".local/receipt-keys.json",
        "RETENTION_DAYS": "7",
    }
    settings = Configuration.read(local)
    assert settings.receipt_key == ".local/receipt-keys.json"
    assert settings.issuers == ("http://127.0.0.1:2/{tenantid}/v2.0",)
    assert settings.retention_days == 7


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("COSMOS_CONNECTION__accountEndpoint", f"http://{SECRET}/"),
        ("STORAGE_ACCOUNTS", ""),
        ("STORAGE_ACCOUNTS", SECRET),
        ("STORAGE_ACCOUNTS", "[]"),
        ("STORAGE_ACCOUNTS", "{}"),
        ("STORAGE_ACCOUNTS", json.dumps({SECRET: "https://a.example"})),
        ("STORAGE_ACCOUNTS", json.dumps({"europe": f"http://{SECRET}"})),
        ("STORAGE_ACCOUNTS", json.dumps({"europe": 5})),
        ("STORAGE_ACCOUNTS", json.dumps({"europe": f"https://{SECRET}.z12.blob.storage.azure.net"})),
        ("STORAGE_ACCOUNTS", json.dumps({"europe": f"https://[{SECRET}"})),
        ("STORAGE_ACCOUNTS", json.dumps({"europe": f"AccountName={SECRET}"})),
        ("STORAGE_ACCOUNTS", "[" * 100_000),
        *(
            ("STORAGE_ACCOUNTS", json.dumps({"europe": accounts}))
            for accounts in (
                [],
                [5],
                [[]],
                None,
                {},
                [BLOBS, f"http://{SECRET}"],
                [BLOBS, {"endpoint": f"http://{SECRET}", "state": "open"}],
                {"state": "open"},
                {"endpoint": 5, "state": "open"},
                {"endpoint": BLOBS, "state": SECRET},
                {"endpoint": BLOBS, "state": None},
                {"endpoint": BLOBS, "state": ["open"]},
                {"endpoint": BLOBS, SECRET: "open"},
                {"endpoint": BLOBS, "state": "open", "region": SECRET},
            )
        ),
        ("COSMOS_CONNECTION__accountEndpoint", "https://"),
        ("OPERATOR_TENANT_ID", ""),
        ("OPERATOR_TENANT_ID", SECRET),
        ("TOKEN_AUDIENCES", " "),
        ("REVIEW_AUTH_CONTEXT", ""),
        ("REVIEW_AUTH_CONTEXT", "c0"),
        ("REVIEW_AUTH_CONTEXT", "c100"),
        ("TOKEN_AUDIENCES", "a,,b"),
        ("TENANT_SETTINGS_AUDIENCES", "a,,b"),
        ("TENANT_SETTINGS_AUDIENCES", "https://service.powerapps.com/, two"),  # which opens the API, too
        ("HOME_GEOS", "europe"),
        ("HOME_GEOS", "[]"),
        ("HOME_GEOS", '{"*": "atlantis"}'),
        ("HOME_GEOS", '{"contoso": "europe"}'),
        ("HOME_GEOS", '{"3B9E6A52-0c4d-4f18-a7e1-62d05c8f9b30": "europe"}'),
        ("HOME_GEOS", '{"*": 5}'),
        *(
            ("REVIEW_VERDICTS", value)
            for value in (
                SECRET,
                "[" * 100_000,
                "[]",
                '["good", "bad"]',
                '{"*": "good"}',
                '{"*": []}',
                '{"*": null}',
                '{"*": ["good", 5]}',
                '{"*": ["good", ""]}',
                '{"*": ["good", "Bad"]}',
                '{"*": ["good", "bad\\n"]}',
                '{"*": ["good", "very bad"]}',
                '{"*": ["good", "bad-"]}',
                '{"*": ["good", "good"]}',
                json.dumps({"*": ["x" * 41]}),
                json.dumps({"*": [f"word-{n}" for n in range(21)]}),
                '{"contoso": ["good"]}',
                '{"3B9E6A52-0c4d-4f18-a7e1-62d05c8f9b30": ["good"]}',
                json.dumps({SECRET: ["good"]}),
            )
        ),
        ("CONTROLLER", "x" * 201),
        ("CONTROLLER", "a\tb"),
        ("RECEIPT_KEY", " "),
        *(
            ("RECEIPT_KEY", value)
            for value in (
                f"http://{SECRET}.vault.azure.net/keys/receipts",
                f"HTTPS://{SECRET}.vault.azure.net/keys/receipts",
                f"https://{SECRET}.vault.azure.net/keys/receipts/0123456789abcdef0123456789abcdef",
                f"https://{SECRET}.vault.azure.net/keys/receipts/",
                f"https://{SECRET}.vault.azure.net/keys/",
                f"https://{SECRET}.vault.azure.net/keys/a%2Fb",
                f"https://{SECRET}.vault.azure.net/keys/receipts?x=1",
                f"https://{SECRET}.vault.azure.net/secrets/receipts",
                f"https://{SECRET}.vault.azure.net//keys/receipts",
                f"https://{SECRET}.vault.azure.net:8443/keys/receipts",
                f"https://{SECRET}.vault.azure.net.example/keys/receipts",
                f"https://{SECRET}.example/.vault.azure.net/keys/receipts",
                f"https://user@{SECRET}.vault.azure.net/keys/receipts",
                f"https://{SECRET}.example\\.vault.azure.net/keys/receipts",
                f"https://{SECRET}.other.vault.azure.net/keys/receipts",
                f"https://-{SECRET}.vault.azure.net/keys/receipts",
                f"https://{SECRET}.vaultxazure.net/keys/receipts",
                f"https://{SECRET}.vault.azure.net/keys/receipts\nx",
                f"file://{SECRET}",
            )
        ),
        ("TOKEN_ISSUER", "https://issuer.example/{tenantid}"),
        ("TOKEN_JWKS_URI", "https://issuer.example/keys"),
        *(("CONSENT_EPOCHS", value) for value in (SECRET, "ON", "true", "1", "yes", "on off")),
        *(("RETENTION_DAYS", value) for value in ("31", "2", "0", "-1", "9" * 5000, "thirty", "3.5", "", "٣٠")),
    ],
)
def test_a_wrong_setting_is_named_and_not_repeated(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Configuration.read({**GOOD, name: value})
    assert name in str(refused.value)
    assert SECRET not in str(refused.value)


def test_d20_a_geo_has_one_account_or_a_list_of_open_and_closed_ones() -> None:
    key = "AccountName=steurope3;AccountKey=a2V5"
    given = {
        "europe": [BLOBS, {"endpoint": BLOBS.replace("europe", "europe2"), "state": "closed"}, {"endpoint": key}],
        "japan": {"endpoint": BLOBS.replace("europe", "japan"), "state": "closed"},
        "india": BLOBS.replace("europe", "india"),
    }
    storage = Configuration.read({**GOOD, "STORAGE_ACCOUNTS": json.dumps(given)}).storage
    assert [(each.geo, each.setting, each.state) for each in storage] == [
        ("europe", BLOBS, "open"),
        ("europe", BLOBS.replace("europe", "europe2"), "closed"),
        ("europe", key, "open"),
        ("japan", BLOBS.replace("europe", "japan"), "closed"),
        ("india", BLOBS.replace("europe", "india"), "open"),
    ]


@pytest.mark.parametrize(("states", "allowed"), [(["closed", "closed"], True), (["closed", "open"], False)])
def test_d20_another_deployment_may_serve_a_geo_whose_accounts_here_are_all_closed(
    states: list[str], allowed: bool
) -> None:
    accounts = [{"endpoint": BLOBS.replace("europe", f"europe{n}"), "state": state} for n, state in enumerate(states)]
    elsewhere = {"europe": "https://europe.example"}
    settings = {
        **GOOD,
        "STORAGE_ACCOUNTS": json.dumps({"europe": accounts}),
        "GEO_ENDPOINTS": json.dumps(elsewhere),
    }
    if allowed:
        assert Configuration.read(settings).geo_endpoints == elsewhere
    else:
        with pytest.raises(ConfigurationError, match="GEO_ENDPOINTS"):
            Configuration.read(settings)


def test_verdicts_are_a_tenants_own_or_those_of_all_others_or_the_usual() -> None:
    usual = ("correct", "incorrect", "harmful", "unclear")
    for absent in ({}, {"REVIEW_VERDICTS": " "}, {"REVIEW_VERDICTS": "{}"}):
        assert Configuration.read({**GOOD, **absent}).vocabulary.of(TENANT) == usual
    mine = Configuration.read({**GOOD, "REVIEW_VERDICTS": json.dumps({TENANT: ["yes", "no"]})}).vocabulary
    assert (mine.of(TENANT), mine.of(OTHER_TENANT)) == (("yes", "no"), usual)
    ours = {"*": ["good", "bad-1"], TENANT: ["yes"]}
    both = Configuration.read({**GOOD, "REVIEW_VERDICTS": json.dumps(ours)}).vocabulary
    assert (both.of(TENANT), both.of(OTHER_TENANT)) == (("yes",), ("good", "bad-1"))


@pytest.mark.parametrize("name", GOOD)
def test_a_missing_setting_is_named(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        Configuration.read({key: value for key, value in GOOD.items() if key != name})


@pytest.mark.parametrize(
    ("issuer", "jwks_uri", "named"),
    [
        ("https://issuer.example/", "https://issuer.example/keys", "TOKEN_ISSUER"),
        ("https://issuer.example/{tenantid}", "http://issuer.example/keys", "TOKEN_JWKS_URI"),
        ("https://issuer.example/{tenantid}", "file:///keys", "TOKEN_JWKS_URI"),
        ("https://issuer.example/{tenantid}", "https://[", "TOKEN_JWKS_URI"),
    ],
)
def test_an_issuer_that_could_be_anyones_is_refused(issuer: str, jwks_uri: str, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        Configuration.read({**GOOD, "TOKEN_ISSUER": issuer, "TOKEN_JWKS_URI": jwks_uri})


@pytest.mark.parametrize(
    "value",
    [
        f"Endpoint={SECRET}",
        "AccountEndpoint=;AccountKey=;",
        "AccountEndpoint=http://[;AccountKey=x",
        f"AccountEndpoint=x;;AccountKey={SECRET}",
    ],
)
def test_a_connection_string_that_is_none_is_refused(value: str) -> None:
    environment = {**GOOD, "COSMOS_CONNECTION": value}
    del environment["COSMOS_CONNECTION__accountEndpoint"]
    with pytest.raises(ConfigurationError, match="COSMOS_CONNECTION"):
        Configuration.read(environment)


@pytest.mark.parametrize(
    "host", ["vault.azure.net", "vault.azure.cn", "vault.usgovcloudapi.net", "managedhsm.azure.net"]
)
def test_a_key_may_be_in_any_cloud_and_in_an_hsm(host: str) -> None:
    address = f"https://kv-receipts.{host}/keys/receipts-2026"
    assert Configuration.read({**GOOD, "RECEIPT_KEY": address}).receipt_key == address


@pytest.mark.parametrize(
    ("base", "hosts", "named"),
    [
        ("http://sharing.example", "", "PUBLIC_ADDRESS"),
        ("https://sharing.example/?x=1", "", "PUBLIC_ADDRESS"),
        ("https://user@sharing.example", "", "PUBLIC_ADDRESS"),
        ("sharing.example", "", "PUBLIC_ADDRESS"),
        ("", "sharing.example", "PUBLIC_ADDRESS"),
        ("https://sharing.example", "sharing.example/path", "TRUSTED_FORWARDED_HOSTS"),
        ("https://sharing.example", "https://sharing.example", "TRUSTED_FORWARDED_HOSTS"),
        ("https://sharing.example", "*", "TRUSTED_FORWARDED_HOSTS"),
        ("https://sharing.example", "a@b.example", "TRUSTED_FORWARDED_HOSTS"),
    ],
)
def test_a_public_address_that_is_none_is_refused_by_name(base: str, hosts: str, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        Configuration.read({**GOOD, "PUBLIC_ADDRESS": base, "TRUSTED_FORWARDED_HOSTS": hosts})
