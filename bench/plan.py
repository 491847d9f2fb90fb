"""How much is measured: ``--quick`` proves that it runs, the default measures, ``--large`` measures what takes long."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Plan:
    """Sizes of the scenarios.

    Attributes:
        rounds_least: of any contenders, unless their time is over before.
        rounds_most: of any contenders.
        seconds: after so long no further round of the same contenders begins; some have more or less.
        requests: in each cell of the one-by-one captures, after a tenth of them to warm up.
        tenants: over how many the captures are spread.
        batch_captures: captures sent at least in each cell of the batches.
        consent_per_second: captures of one tenant, sent evenly.
        consent_seconds: for how long; for many tenants half as long.
        consent_tenants: over how many captures are spread to count their consent reads.
        purge_blobs: that one tenant has where a purge's time is compared, smallest first.
        list_and_delete_blobs: what the SDK's list and batch delete and ``az`` delete in Azurite.
        counted_blobs: for how many blobs the operations are counted, the SDK's without Azurite carrying them out.
        az: whether the ``az`` command takes part.
        containers: of the accounts in which retention looks for what is due, smallest first.
        containers_due: how many of them are.
        opt_outs: tenants that opt in and out in each round.
        waiting: opt-outs that wait while others post.
        memory_captures: sent in batches of 100 between the two looks at the host's memory.
        swept_containers: of the account that is swept.
        ledgers: that a round of the sweep compares, fewest first.
        ended: tenants that have opted out and whose deletion is finished, where the status is told, smallest first.
    """

    rounds_least: int
    rounds_most: int
    seconds: float
    requests: int
    tenants: int
    batch_captures: int
    consent_per_second: float
    consent_seconds: float
    consent_tenants: tuple[int, ...]
    purge_blobs: tuple[int, int]
    list_and_delete_blobs: int
    counted_blobs: int
    az: bool
    containers: tuple[int, int]
    containers_due: int
    opt_outs: int
    waiting: int
    memory_captures: int
    swept_containers: int
    ledgers: tuple[int, int]
    ended: tuple[int, int]


DEFAULT = Plan(
    rounds_least=6,
    rounds_most=100,
    seconds=45.0,
    requests=1_000,
    tenants=1_000,
    batch_captures=5_000,
    consent_per_second=50.0,
    consent_seconds=20.0,
    consent_tenants=(1_000, 10_000),
    purge_blobs=(1_000, 100_000),
    list_and_delete_blobs=1_000,
    counted_blobs=10_000,
    az=True,
    containers=(1_000, 100_000),
    containers_due=100,
    opt_outs=100,
    waiting=64,
    memory_captures=100_000,
    swept_containers=1_000_000,
    ledgers=(1_000, 20_000),
    ended=(1_000, 20_000),
)

LARGE = replace(DEFAULT, swept_containers=31_000_000, ledgers=(1_000, 1_000_000), ended=(1_000, 1_000_000))

QUICK = Plan(
    rounds_least=1,
    rounds_most=1,
    seconds=45.0,
    requests=40,
    tenants=3,
    batch_captures=100,
    consent_per_second=20.0,
    consent_seconds=1.0,
    consent_tenants=(2, 5),
    purge_blobs=(60, 120),
    list_and_delete_blobs=60,
    counted_blobs=90,
    az=False,
    containers=(50, 200),
    containers_due=10,
    opt_outs=3,
    waiting=4,
    memory_captures=200,
    swept_containers=20_000,
    ledgers=(20, 60),
    ended=(20, 60),
)
