"""The service's settings, read from the environment when first needed and refused by name when wrong."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from shared.model import deadlines
from shared.model.geos import GEOS
from shared.model.items import GUID
from shared.model.labels import DEFAULT_VOCABULARY, VERDICTS_MAX, Vocabulary, is_word

ENTRA_ISSUERS = ("https://login.microsoftonline.com/{tenantid}/v2.0", "https://sts.windows.net/{tenantid}/")
ENTRA_JWKS_URI = "https://login.microsoftonline.com/common/discovery/v2.0/keys"
ENTRA_AUTHORITY = "https://login.microsoftonline.com/organizations/v2.0"

_KEY_ADDRESS = re.compile(
    r"https://[A-Za-z][A-Za-z0-9-]{1,22}[A-Za-z0-9]"
    r"\.(vault\.azure\.net|vault\.azure\.cn|vault\.usgovcloudapi\.net|managedhsm\.azure\.net)"
    r"/keys/[A-Za-z0-9-]{1,127}"
)


_HTTPS_ADDRESS = re.compile(
    r"https://[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*"
    r"(:[0-9]{1,5})?(/[A-Za-z0-9._~-]+)*/?"
)
_LOCAL_ADDRESS = re.compile(r"http://127\.0\.0\.1(:[0-9]{1,5})?(/[A-Za-z0-9._~-]+)*/?")


class ConfigurationError(Exception):
    """A setting is missing or wrong; the message names it and never repeats its value."""


@dataclass(frozen=True, slots=True)
class PublicAddress:
    """By what address clients know the API: links lead there.

    Attributes:
        base: the API's address, which stands for ``/api``, without a slash at the end.
        trusted_hosts: the hosts that a gateway may name as the one that the client used instead.
    """

    base: str
    trusted_hosts: frozenset[str] = frozenset()

    def for_client(self, forwarded_host: str | None) -> str:
        """Return the address by which a client knows the API.

        Args:
            forwarded_host: the ``X-Forwarded-Host`` of its request; it is believed if it is a trusted one.
        """
        host = (forwarded_host or "").partition(",")[0].strip().lower()
        return urlsplit(self.base)._replace(netloc=host).geturl() if host in self.trusted_hosts else self.base


@dataclass(frozen=True, slots=True)
class Portal:
    """What a page in a browser needs to know to sign its user in.

    Attributes:
        client_id: the page's own app registration, a GUID in lower case.
        authority: the address under which the issuer's discovery document is, without a slash at the end.
        scopes: what the page asks for beside those that make it a sign-in: a token for this API.
    """

    client_id: str
    authority: str
    scopes: tuple[str, ...]

    @property
    def authority_origin(self) -> str:
        """The authority's scheme, host and port: all that the page may speak to beside this service."""
        return urlsplit(self.authority)._replace(path="").geturl()


AccountState = Literal["open", "closed"]
"""Whether a storage account takes new enrollments."""


@dataclass(frozen=True, slots=True)
class StorageAccount:
    """A storage account that the settings name.

    Attributes:
        geo: the geo whose captures lie in it.
        setting: a blob service endpoint (``https://``), or a connection string for local use.
        state: whether it takes new enrollments (D20).
    """

    geo: str
    setting: str
    state: AccountState = "open"


_CONTROLLER_MAX = 200


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a deployment can choose.

    Attributes:
        cosmos: an account endpoint (``https://``), or a connection string with a key for local use.
        storage: the storage accounts, of each served geo at least one.
        operator_tenant_id: the tenant whose app roles count: that of capture services, operators and reviewers.
        audiences: the client id or App ID URI that a token must be for; one of these.
        issuers: the issuers that are trusted, ``{tenantid}`` standing for the token's ``tid``.
        jwks_uri: where their signing keys are.
        receipt_key: a Key Vault key's address (``https://``), or the path of a JWK Set for local use (P6).
        review_auth_context: the Conditional Access authentication context that a reviewer's sign-in must satisfy (P7).
        retention_days: 3 to 30 (P4).
        geo_endpoints: the addresses of the deployments that serve other geos, without a slash at the end.
        public_address: by what address clients know this one; None for that of their requests.
        tenant_settings_audiences: the client ids or App ID URIs that a token must be for that opens the tenant
            settings, and nothing else (D16); empty if no token does.
        home_geos: the geo of each tenant that opts in by a tool that names none, ``*`` for all others.
        controller: who operates the service, as consent receipts name it; None if they shall name nobody.
        portal: how the portal signs its users in; None if no portal is offered (D19).
        vocabulary: the verdicts that reviewers may give.
        consent_epochs: whether a setting that was read is trusted for as long as its shard's epoch stays (D21).
    """

    cosmos: str
    storage: Sequence[StorageAccount]
    operator_tenant_id: str
    audiences: tuple[str, ...]
    review_auth_context: str
    receipt_key: str
    issuers: tuple[str, ...] = ENTRA_ISSUERS
    jwks_uri: str = ENTRA_JWKS_URI
    retention_days: int = deadlines.RETENTION_DAYS_MAX
    geo_endpoints: Mapping[str, str] = field(default_factory=dict)
    public_address: PublicAddress | None = None
    tenant_settings_audiences: tuple[str, ...] = ()
    home_geos: Mapping[str, str] = field(default_factory=dict)
    controller: str | None = None
    portal: Portal | None = None
    vocabulary: Vocabulary = DEFAULT_VOCABULARY
    consent_epochs: bool = False

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "Configuration":
        """Return the settings that ``environment`` holds.

        Raises:
            ConfigurationError: naming the first setting that is missing or wrong.
        """
        issuers, jwks_uri = _issuers(environment)
        cosmos, storage = _cosmos(environment), _storage(environment)
        return cls(
            cosmos=cosmos,
            storage=storage,
            operator_tenant_id=_operator_tenant(environment),
            audiences=_audiences(environment),
            review_auth_context=_review_auth_context(environment),
            receipt_key=_receipt_key(environment),
            issuers=issuers,
            jwks_uri=jwks_uri,
            retention_days=_retention_days(environment),
            geo_endpoints=_geo_endpoints(environment, storage),
            public_address=_public_address(environment),
            tenant_settings_audiences=_tenant_settings_audiences(environment),
            home_geos=_home_geos(environment),
            controller=_controller(environment),
            portal=_portal(environment),
            vocabulary=_vocabulary(environment),
            consent_epochs=_consent_epochs(environment),
        )


def is_endpoint(value: str) -> bool:
    """Tell whether a store's setting is an endpoint to use with an Entra identity, not a connection string."""
    return value.startswith("https://")


def is_this_machine(url: str) -> bool:
    """Tell whether an address leads no further than this machine, where there is development and nothing else."""
    return _host_of(url) in {"127.0.0.1", "::1", "localhost"}


def _required(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name, "").strip()
    if not value:
        raise ConfigurationError(f"{name} is missing.")
    return value


def _host_of(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _cosmos(environment: Mapping[str, str]) -> str:
    # The names that the Functions trigger itself reads, so that both always use the same account.
    endpoint = environment.get("COSMOS_CONNECTION__accountEndpoint", "").strip()
    if endpoint:
        if not is_endpoint(endpoint) or not _host_of(endpoint):
            raise ConfigurationError("COSMOS_CONNECTION__accountEndpoint must be an https:// endpoint.")
        return endpoint
    connection_string = environment.get("COSMOS_CONNECTION", "").strip()
    if not connection_string:
        raise ConfigurationError("COSMOS_CONNECTION__accountEndpoint is missing (or COSMOS_CONNECTION, for local use).")
    match = re.fullmatch("AccountEndpoint=(https?://[^;]+);AccountKey=[^;]+;?", connection_string)
    if match is None or not _host_of(match[1]):
        raise ConfigurationError("COSMOS_CONNECTION must be AccountEndpoint=http(s)://...;AccountKey=...;.")
    return connection_string


def _storage(environment: Mapping[str, str]) -> Sequence[StorageAccount]:
    text = _required(environment, "STORAGE_ACCOUNTS")
    try:
        accounts: Any = json.loads(text)
    except (ValueError, RecursionError):
        accounts = None
    if not isinstance(accounts, dict) or not accounts:
        raise ConfigurationError("STORAGE_ACCOUNTS must be a JSON object of geo to blob service endpoint.")
    found: list[StorageAccount] = []
    for geo, given in accounts.items():
        if geo not in GEOS:
            raise ConfigurationError("STORAGE_ACCOUNTS names a geo that does not exist.")
        if given == []:
            raise ConfigurationError(f"STORAGE_ACCOUNTS must give at least one account for {geo}.")
        # One that stands alone may be written without a list.
        found += [_storage_account(geo, each) for each in (given if isinstance(given, list) else [given])]
    return found


def _storage_account(geo: str, given: Any) -> StorageAccount:
    members = given if isinstance(given, dict) else {"endpoint": given}
    if not members.keys() <= {"endpoint", "state"}:
        raise ConfigurationError(f"STORAGE_ACCOUNTS has an account of {geo} with more than endpoint and state.")
    endpoint, state = members.get("endpoint"), members.get("state", "open")
    if not isinstance(endpoint, str) or not _is_storage(endpoint):
        raise ConfigurationError(f"STORAGE_ACCOUNTS must give a blob service endpoint for {geo}.")
    if state not in get_args(AccountState):
        raise ConfigurationError(f"STORAGE_ACCOUNTS must say open or closed of an account of {geo}.")
    return StorageAccount(geo, endpoint, state)


def _is_storage(account: str) -> bool:
    if is_endpoint(account):
        # The account's name is in the host, and everything rests on the name: no other form of address is taken.
        return ".blob.core." in (_host_of(account) or "")
    return "AccountName=" in account and "AccountKey=" in account


def _geo_endpoints(environment: Mapping[str, str], storage: Sequence[StorageAccount]) -> Mapping[str, str]:
    text = environment.get("GEO_ENDPOINTS", "").strip() or "{}"
    try:
        endpoints: Any = json.loads(text)
    except (ValueError, RecursionError):
        endpoints = None
    if not isinstance(endpoints, dict):
        raise ConfigurationError("GEO_ENDPOINTS must be a JSON object of geo to address.")
    for geo, endpoint in endpoints.items():
        if geo not in GEOS:
            raise ConfigurationError("GEO_ENDPOINTS names a geo that does not exist.")
        if any(each.geo == geo and each.state == "open" for each in storage):
            raise ConfigurationError(f"GEO_ENDPOINTS names {geo}, which STORAGE_ACCOUNTS says is open here.")
        if not isinstance(endpoint, str) or not _is_base_address(endpoint):
            raise ConfigurationError(f"GEO_ENDPOINTS must give an https:// address for {geo}, without a query.")
    return {geo: endpoint.rstrip("/") for geo, endpoint in endpoints.items()}


def _is_base_address(url: str) -> bool:
    # It is told to callers as it is: nothing may be in it that is no address, and no user or password.
    return bool(_HTTPS_ADDRESS.fullmatch(url) or _LOCAL_ADDRESS.fullmatch(url))


def _public_address(environment: Mapping[str, str]) -> PublicAddress | None:
    base = environment.get("PUBLIC_ADDRESS", "").strip().rstrip("/")
    hosts = [host.strip().lower() for host in environment.get("TRUSTED_FORWARDED_HOSTS", "").split(",") if host.strip()]
    if not base:
        if hosts:
            raise ConfigurationError("TRUSTED_FORWARDED_HOSTS needs PUBLIC_ADDRESS.")
        return None
    if not _is_base_address(base):
        raise ConfigurationError("PUBLIC_ADDRESS must be the API's https:// address, without a query.")
    if not all(_is_base_address(f"https://{host}") and "/" not in host for host in hosts):
        raise ConfigurationError("TRUSTED_FORWARDED_HOSTS must be hosts with a comma between them.")
    return PublicAddress(base, frozenset(hosts))


def _tenant_settings_audiences(environment: Mapping[str, str]) -> tuple[str, ...]:
    text = environment.get("TENANT_SETTINGS_AUDIENCES", "").strip()
    audiences = _several(text, "TENANT_SETTINGS_AUDIENCES") if text else ()
    if set(audiences) & set(_audiences(environment)):
        raise ConfigurationError("TENANT_SETTINGS_AUDIENCES and TOKEN_AUDIENCES must have no audience in common.")
    return audiences


def _home_geos(environment: Mapping[str, str]) -> Mapping[str, str]:
    text = environment.get("HOME_GEOS", "").strip() or "{}"
    try:
        homes: Any = json.loads(text)
    except (ValueError, RecursionError):
        homes = None
    if not isinstance(homes, dict):
        raise ConfigurationError("HOME_GEOS must be a JSON object of tenant id to geo.")
    for tenant_id, geo in homes.items():
        if tenant_id != "*" and not GUID.fullmatch(tenant_id):
            raise ConfigurationError("HOME_GEOS must name tenants by their ids, GUIDs in lower case, or by *.")
        if geo not in GEOS:
            raise ConfigurationError("HOME_GEOS names a geo that does not exist.")
    return homes


def _vocabulary(environment: Mapping[str, str]) -> Vocabulary:
    text = environment.get("REVIEW_VERDICTS", "").strip() or "{}"
    try:
        verdicts: Any = json.loads(text)
    except (ValueError, RecursionError):
        verdicts = None
    if not isinstance(verdicts, dict):
        raise ConfigurationError("REVIEW_VERDICTS must be a JSON object of tenant id to a list of words.")
    for tenant_id, words in verdicts.items():
        if tenant_id != "*" and not GUID.fullmatch(tenant_id):
            raise ConfigurationError("REVIEW_VERDICTS must name tenants by their ids, GUIDs in lower case, or by *.")
        if not isinstance(words, list) or not 1 <= len(words) <= VERDICTS_MAX or not all(map(is_word, words)):
            raise ConfigurationError(
                f"REVIEW_VERDICTS must give lists of 1 to {VERDICTS_MAX} words: of lower-case letters, digits, hyphens "
                "and underscores, each at most 40 of them."
            )
        if len(set(words)) < len(words):
            raise ConfigurationError("REVIEW_VERDICTS has a word twice in a list.")
    others = verdicts.pop("*", DEFAULT_VOCABULARY.others)
    return Vocabulary(tuple(others), {tenant_id: tuple(words) for tenant_id, words in verdicts.items()})


def _consent_epochs(environment: Mapping[str, str]) -> bool:
    value = environment.get("CONSENT_EPOCHS", "").strip() or "off"
    if value not in {"on", "off"}:
        raise ConfigurationError("CONSENT_EPOCHS must be on or off.")
    return value == "on"


def _controller(environment: Mapping[str, str]) -> str | None:
    name = environment.get("CONTROLLER", "").strip()
    if len(name) > _CONTROLLER_MAX or not name.isprintable():
        raise ConfigurationError(f"CONTROLLER must be at most {_CONTROLLER_MAX} printable characters.")
    return name or None


def _portal(environment: Mapping[str, str]) -> Portal | None:
    client_id = environment.get("PORTAL_CLIENT_ID", "").strip().lower()
    authority = environment.get("PORTAL_AUTHORITY", "").strip().rstrip("/")
    if not client_id:
        if authority:
            raise ConfigurationError("PORTAL_AUTHORITY needs PORTAL_CLIENT_ID.")
        return None
    if not GUID.fullmatch(client_id):
        raise ConfigurationError("PORTAL_CLIENT_ID must be a GUID.")
    # It stands in the page's Content-Security-Policy: nothing may be in it that is no address.
    if authority and not _is_base_address(authority):
        raise ConfigurationError("PORTAL_AUTHORITY must be the issuer's https:// address, without a query.")
    return Portal(client_id, authority or ENTRA_AUTHORITY, (f"{_audiences(environment)[0]}/.default",))


def _operator_tenant(environment: Mapping[str, str]) -> str:
    tenant_id = _required(environment, "OPERATOR_TENANT_ID").lower()
    if not GUID.fullmatch(tenant_id):
        raise ConfigurationError("OPERATOR_TENANT_ID must be a GUID.")
    return tenant_id


def _audiences(environment: Mapping[str, str]) -> tuple[str, ...]:
    return _several(_required(environment, "TOKEN_AUDIENCES"), "TOKEN_AUDIENCES")


def _several(text: str, name: str) -> tuple[str, ...]:
    values = tuple(value.strip() for value in text.split(","))
    if not all(values):
        raise ConfigurationError(f"{name} must be audiences with a comma between them.")
    return values


def _review_auth_context(environment: Mapping[str, str]) -> str:
    value = _required(environment, "REVIEW_AUTH_CONTEXT")
    if not re.fullmatch("c[1-9][0-9]?", value):
        raise ConfigurationError("REVIEW_AUTH_CONTEXT must be an authentication context's id, c1 to c99.")
    return value


def _receipt_key(environment: Mapping[str, str]) -> str:
    value = _required(environment, "RECEIPT_KEY")
    # With a version in it, rotating the key would change nothing and nobody would notice.
    if "://" in value and not _KEY_ADDRESS.fullmatch(value):
        raise ConfigurationError(
            "RECEIPT_KEY must be https://{vault}.vault.azure.net/keys/{name} without a version, or a file's path."
        )
    return value


def _issuers(environment: Mapping[str, str]) -> tuple[tuple[str, ...], str]:
    issuer = environment.get("TOKEN_ISSUER", "").strip()
    jwks_uri = environment.get("TOKEN_JWKS_URI", "").strip()
    if not issuer and not jwks_uri:
        return ENTRA_ISSUERS, ENTRA_JWKS_URI
    # One without the other would trust one issuer's name with another issuer's keys.
    if not issuer or not jwks_uri:
        raise ConfigurationError("TOKEN_ISSUER and TOKEN_JWKS_URI must be set together or not at all.")
    if "{tenantid}" not in issuer:
        raise ConfigurationError("TOKEN_ISSUER must contain {tenantid}.")
    host = _host_of(jwks_uri)
    if not host or not (jwks_uri.startswith("https://") or (jwks_uri.startswith("http://") and host == "127.0.0.1")):
        raise ConfigurationError("TOKEN_JWKS_URI must begin with https:// (or http://127.0.0.1, for local use).")
    return (issuer,), jwks_uri


def _retention_days(environment: Mapping[str, str]) -> int:
    text = environment.get("RETENTION_DAYS", str(deadlines.RETENTION_DAYS_MAX)).strip()
    least, most = deadlines.RETENTION_DAYS_MIN, deadlines.RETENTION_DAYS_MAX
    if not re.fullmatch("[0-9]{1,2}", text) or not least <= int(text) <= most:
        raise ConfigurationError(f"RETENTION_DAYS must be a whole number from {least} to {most}.")
    return int(text)
