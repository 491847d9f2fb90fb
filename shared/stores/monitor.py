"""Application Insights, for our metrics and nothing else.

To be imported only where metrics are sent: what is imported here takes longer than all the rest of the app.
"""

import asyncio
import math
import os
from collections.abc import Callable, Iterable, Sequence

from azure.monitor.opentelemetry.exporter import AzureMonitorMetricExporter
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from shared.model.metrics import METRICS, Measurement

_SERVICE = "data-sharing"
_FLUSH_MILLISECONDS = 60_000
# Each is a thread of the exporter's own that talks to addresses which nobody here has configured, in whatever region:
# its use statistics, twice, and settings that Microsoft can change from afar. It can be told so in no other way.
_PHONING_HOME = (
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL",
    "APPLICATIONINSIGHTS_SDKSTATS_DISABLED",
    "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED",
)


class Monitor:
    """Where metrics go; one in a process.

    The provider is not the process's global one, so no library can send measurements of its own through it (P8). For
    the same reason this is not ``configure_azure_monitor``, which also instruments every HTTP client and logger.
    """

    def __init__(self, reader: MetricReader) -> None:
        self._latest: Sequence[Measurement] = ()
        self._provider = MeterProvider([reader], Resource({"service.name": _SERVICE}), shutdown_on_exit=False)
        meter = self._provider.get_meter(_SERVICE)
        # Observed at each collection: the other sort of gauge says again what it was last told, also when that cannot
        # be read any more.
        for metric in METRICS:
            meter.create_observable_gauge(metric.name, [self._observe(metric.name)], metric.unit, metric.meaning)

    @classmethod
    def connect(cls, connection_string: str) -> "Monitor":
        """Return the monitor that a connection string names; nothing is sent yet.

        With the setting ``APPLICATIONINSIGHTS_AUTHENTICATION_STRING``, which the Functions host reads too, the exporter
        uses the managed identity that it names.

        Raises:
            ValueError: if it is no connection string.
        """
        os.environ.update(dict.fromkeys(_PHONING_HOME, "true"))
        exporter = AzureMonitorMetricExporter(
            connection_string=connection_string,
            disable_offline_storage=True,  # in five minutes there are newer values, and a disk is one place more
            timeout=10,
            read_timeout=10,
            retry_total=2,
        )
        # Never by itself: an instance may be frozen between two runs.
        return cls(PeriodicExportingMetricReader(exporter, export_interval_millis=math.inf))

    async def send(self, measurements: Iterable[Measurement]) -> None:
        """Send measurements now; what was sent before is not sent again.

        An endpoint that refuses or cannot be reached is for the exporter to log; the values are then lost.
        """
        self._latest = tuple(measurements)
        # The exporter blocks, for as long as its retries take; other functions share this event loop.
        await asyncio.to_thread(self._provider.force_flush, _FLUSH_MILLISECONDS)

    def _observe(self, name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observe(options: CallbackOptions) -> Iterable[Observation]:
            return [Observation(each.value, each.attributes) for each in self._latest if each.metric.name == name]

        return observe
