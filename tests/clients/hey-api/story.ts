// Opt in, capture, review, status, opt out: with the client that @hey-api/openapi-ts makes.
import {
  capturesCreate,
  capturesList,
  capturesRead,
  dataSharingSet,
  reviewGrantsApprove,
  reviewGrantsCreate,
  statusGet,
} from "./sdk";
import { client } from "./sdk/client.gen";
import type { DataSharingRequest, ReviewGrantRequest } from "./sdk/types.gen";

const { api, tenantId, tokens } = JSON.parse(process.env["STORY"] ?? "") as {
  api: string;
  tenantId: string;
  tokens: Record<"admin" | "service" | "reviewer" | "approver" | "operator", string>;
};
client.setConfig({ baseUrl: api });
const path = { tenantId };
const throwOnError = true;
const reviewer = { auth: tokens.reviewer };

// @ts-expect-error there is no such geo
void ({ enabled: true, geo: "atlantis" } satisfies DataSharingRequest);
// @ts-expect-error captures are not read for that
void ({ purpose: "train", justification: "", durationMinutes: 1 } satisfies ReviewGrantRequest);

async function main() {
  const admin = { auth: tokens.admin, path, throwOnError } as const;

  const on = (await dataSharingSet({ ...admin, body: { enabled: true, geo: "europe", notice: "2026-11-01", locale: "en" } })).data;

  const capturedAt = on.since;
  if (capturedAt === null) throw new Error("on since when?");
  const posted = await capturesCreate({
    auth: tokens.service,
    path,
    headers: { "Idempotency-Key": "hey-api" },
    body: { captures: [{ capturedAt, feature: "flow", input: "a question", output: "an answer" }] },
    throwOnError,
  });
  const stored = posted.data;

  const refused = (await capturesList({ ...reviewer, path })).error;
  if (refused === undefined) throw new Error("read without a grant");

  const asked = await reviewGrantsCreate({
    ...reviewer,
    path,
    body: { purpose: "improve", justification: "Formulas are refused too often; see why.", durationMinutes: 60 },
    throwOnError,
  });
  const approved = await reviewGrantsApprove({
    auth: tokens.approver,
    path: { tenantId, grantId: asked.data.grantId },
    throwOnError,
  });

  const [first] = (await capturesList({ ...reviewer, path, throwOnError })).data.value;
  if (first === undefined) throw new Error("no day");
  const read = await capturesRead({
    ...reviewer,
    path: { tenantId, day: first.day, batchId: stored.batchId },
    parseAs: "blob",
    throwOnError,
  });

  const status = (await statusGet({ auth: tokens.operator, throwOnError })).data;
  const off = (await dataSharingSet({ ...admin, body: { enabled: false } })).data;

  return {
    on,
    postedStatus: posted.response.status,
    stored,
    refused,
    approved: approved.data,
    lines: await read.data.text(),
    europe: status.accounts["steurope"]?.oldestDay ?? null,
    lastPurge: status.accounts["steurope"]?.lastPurge?.outcome ?? null,
    off,
  };
}

main().then((told) => console.log(JSON.stringify(told)));
