// A service for Node that is instrumented with OpenTelemetry: emits what it is told to, a JSON line each, and says what
// came of it. Where to and with which token say the environment variables that the exporters' documentation names. If
// TOKEN_FILE names a file, each export has the token that is in it by then.
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";

import { diag, DiagLogLevel } from "@opentelemetry/api";
import { detectResources, envDetector, hostDetector, osDetector, processDetector } from "@opentelemetry/resources";
import { BatchSpanProcessor, NodeTracerProvider } from "@opentelemetry/sdk-trace-node";

const { OTLPTraceExporter } = await import(`@opentelemetry/exporter-trace-otlp-${process.argv[2]}`);

let logged = [];
const log = (level) => (...words) => void logged.push(`${level} ${words.join(" ")}`);
diag.setLogger(
  { error: log("ERROR"), warn: log("WARNING"), info: log("INFO"), debug: log("DEBUG"), verbose: log("VERBOSE") },
  DiagLogLevel.ALL,
);

const file = process.env.TOKEN_FILE;
const renewed = async () => ({ authorization: `Bearer ${await readFile(file, "utf8")}` });

// Keeps what the exporter has given up, so that it can be sent again.
class Remembering {
  givenUp = [];
  exporter = new OTLPTraceExporter(file ? { headers: renewed } : {});

  export(spans, done) {
    this.exporter.export(spans, (result) => {
      if (result.code !== 0) this.givenUp.push(spans); // 0 is ExportResultCode.SUCCESS
      done(result);
    });
  }

  async exportAgain() {
    for (const spans of this.givenUp.splice(0)) await new Promise((resolve) => this.export(spans, resolve));
  }

  forceFlush() {
    return this.exporter.forceFlush();
  }

  shutdown() {
    return this.exporter.shutdown();
  }
}

const exporter = new Remembering();
const provider = new NodeTracerProvider({
  resource: detectResources({ detectors: [envDetector, hostDetector, osDetector, processDetector] }),
  spanProcessors: [new BatchSpanProcessor(exporter)],
});
const tracer = provider.getTracer("service");

for await (const line of createInterface({ input: process.stdin })) {
  const ids = JSON.parse(line).map(({ attributes, end }) => {
    const span = tracer.startSpan("chat", { attributes, startTime: new Date(end - 800) });
    span.end(new Date(end));
    return span.spanContext().spanId;
  });
  // Rejects if an export failed, which Remembering knows.
  await (ids.length ? provider.forceFlush().catch(() => {}) : exporter.exportAgain());
  console.log(JSON.stringify({ spans: ids, acknowledged: exporter.givenUp.length === 0, logged }));
  logged = [];
}
await provider.shutdown();
