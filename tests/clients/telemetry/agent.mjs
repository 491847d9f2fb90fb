// An agent for Node with the Agent 365 SDK: emits what it is told to, a JSON line each, and says what came of it. The SDK
// is told where to send by the environment variables that its documentation names, and asks its resolver for a token.
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";

import {
  BaggageBuilder,
  ExecuteToolScope,
  ExporterEventNames,
  InferenceOperationType,
  InferenceScope,
  InvokeAgentScope,
  ObservabilityManager,
} from "@microsoft/agents-a365-observability";
import { trace } from "@opentelemetry/api";

let logged = [];
let exported = []; // whether each export was a success
const log = (level) => (...words) => void logged.push(`${level} ${words.join(" ")}`);
const builder = ObservabilityManager.configure((configured) =>
  configured
    .withService("orders", "1.0.0")
    .withTokenResolver(() => readFile(process.env.TOKEN_FILE, "utf8"))
    .withExporterOptions({ useS2SEndpoint: process.argv[2] === "s2s" })
    .withCustomLogger({
      info: log("INFO"),
      warn: log("WARNING"),
      error: log("ERROR"),
      event: (name, success) => void (name === ExporterEventNames.EXPORT && exported.push(success)),
    }),
);
builder.start();

const wrapped = (messages) => ({ version: "0.1.0", messages });

// Returns a scope with everything recorded, to be ended.
function started(told) {
  const times = { startTime: new Date(told.end - 800), endTime: new Date(told.end) };
  const request = { conversationId: told.conversation, content: told.input && wrapped(told.input) };
  const agent = { agentId: told.agent.id, agentName: told.agent.name, tenantId: told.tenant };
  const user = {
    userId: told.user.id,
    userName: told.user.name,
    userEmail: told.user.email,
    callerClientIp: told.user.address,
  };
  let scope;
  if (told.operation === "execute_tool") {
    const tool = { toolName: told.tool.name, arguments: told.tool.arguments, toolCallId: told.tool.id };
    scope = ExecuteToolScope.start(request, tool, agent, user, times);
    scope.recordResponse(told.tool.result);
  } else if (told.operation === "invoke_agent") {
    scope = InvokeAgentScope.start(request, {}, agent, { userDetails: user }, times);
    scope.recordOutputMessages(wrapped(told.output));
  } else {
    const [inputTokens, outputTokens] = told.tokens;
    const details = {
      operationName: InferenceOperationType.CHAT,
      model: told.model,
      providerName: "openai",
      inputTokens,
      outputTokens,
    };
    scope = InferenceScope.start(request, details, agent, user, times);
    scope.recordInputMessages(request.content);
    scope.recordOutputMessages(wrapped(told.output));
  }
  if (told.instructions) scope.recordAttributes({ "gen_ai.system_instructions": JSON.stringify(told.instructions) });
  return scope;
}

for await (const line of createInterface({ input: process.stdin })) {
  logged = [];
  exported = [];
  const ids = JSON.parse(line).map((told) =>
    new BaggageBuilder()
      .tenantId(told.tenant)
      .agentId(told.agent.id)
      .build()
      .run(() => {
        const scope = started(told);
        scope.dispose();
        return scope.getSpanContext().spanId;
      }),
  );
  // Rejects if an export failed, which the event tells as well.
  await trace.getTracerProvider().getDelegate().forceFlush().catch(() => {});
  const acknowledged = exported.length > 0 && exported.every((success) => success);
  console.log(JSON.stringify({ spans: ids, acknowledged, logged }));
}
await ObservabilityManager.shutdown();
