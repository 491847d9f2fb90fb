"""How much of everything is measured: ``--quick`` proves that it runs, the default measures, ``--full`` adds size."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Plan:
    """Sizes of the scenarios.

    Attributes:
        repeat: rounds; each goes through all contenders of a scenario.
        requests: in each cell of the one-by-one captures, after a tenth of them to warm up.
        tenants: over how many the captures are spread.
        batch_captures: captures sent at least in each cell of the batches.
        consent_captures: how many of one tenant are sent over ``consent_seconds``, evenly.
        consent_seconds: see above.
        purge_blobs: what our purge deletes, smallest first.
        list_and_delete_blobs: what the SDK's list and batch delete deletes.
        counted_blobs: for how many blobs the SDK's operations are counted without Azurite carrying out the deletes.
        az: whether the ``az`` command deletes the smallest number of blobs too.
        containers: of the accounts in which retention looks for what is due, smallest first.
        containers_due: how many of them are.
        opt_outs: tenants that opt in and out in each round.
        cold_starts: how often each is imported or started.
        memory_captures: sent in batches of 100 between the two looks at the host's memory.
    """

    repeat: int
    requests: int
    tenants: int
    batch_captures: int
    consent_captures: int
    consent_seconds: float
    purge_blobs: tuple[int, ...]
    list_and_delete_blobs: tuple[int, ...]
    counted_blobs: int
    az: bool
    containers: tuple[int, ...]
    containers_due: int
    opt_outs: int
    cold_starts: int
    memory_captures: int


DEFAULT = Plan(
    repeat=3,
    requests=1_000,
    tenants=1_000,
    batch_captures=10_000,
    consent_captures=1_000,
    consent_seconds=20.0,
    purge_blobs=(1_000, 10_000),
    list_and_delete_blobs=(1_000,),
    counted_blobs=10_000,
    az=True,
    containers=(1_000, 10_000, 100_000),
    containers_due=100,
    opt_outs=100,
    cold_starts=5,
    memory_captures=100_000,
)

FULL = replace(DEFAULT, purge_blobs=(1_000, 10_000, 100_000), list_and_delete_blobs=(1_000, 10_000))

QUICK = Plan(
    repeat=1,
    requests=40,
    tenants=3,
    batch_captures=100,
    consent_captures=20,
    consent_seconds=1.0,
    purge_blobs=(60,),
    list_and_delete_blobs=(60,),
    counted_blobs=60,
    az=False,
    containers=(50, 100, 200),
    containers_due=10,
    opt_outs=3,
    cold_starts=1,
    memory_captures=200,
)
