// Opt in, capture, review, status, opt out: with openapi-fetch and the types that openapi-typescript makes.
import createClient from "openapi-fetch";
import type { components, paths } from "./types";

type Problem = components["schemas"]["Problem"];

const { api, tenantId, tokens } = JSON.parse(process.env["STORY"] ?? "") as {
  api: string;
  tenantId: string;
  tokens: Record<"admin" | "service" | "reviewer" | "approver" | "operator", string>;
};
const as = (token: string) =>
  createClient<paths>({ baseUrl: api, headers: { Authorization: `Bearer ${token}` } });
const path = { tenantId };

function good<T>(answer: { data?: T; error?: Problem }): T {
  if (answer.data === undefined) throw new Error(answer.error?.detail ?? "no answer");
  return answer.data;
}

// @ts-expect-error there is no such geo
void ({ enabled: true, geo: "atlantis" } satisfies components["schemas"]["DataSharingRequest"]);
// @ts-expect-error captures are not read for that
void ({ purpose: "train", justification: "", durationMinutes: 1 } satisfies components["schemas"]["ReviewGrantRequest"]);

async function main() {
  const admin = as(tokens.admin);
  const reviewer = as(tokens.reviewer);

  const on = good(
    await admin.PUT("/tenants/{tenantId}/data-sharing", { params: { path }, body: { enabled: true, geo: "europe", notice: "2026-11-01", locale: "en" } }),
  );

  const capturedAt = on.since;
  if (capturedAt === null) throw new Error("on since when?");
  const posted = await as(tokens.service).POST("/tenants/{tenantId}/captures", {
    params: { path, header: { "Idempotency-Key": "openapi-typescript" } },
    body: { captures: [{ capturedAt, feature: "flow", input: "a question", output: "an answer" }] },
  });
  const stored = good(posted);

  const refused = await reviewer.GET("/tenants/{tenantId}/captures", { params: { path } });
  if (refused.error === undefined) throw new Error("read without a grant");

  const asked = good(
    await reviewer.POST("/tenants/{tenantId}/review-grants", {
      params: { path },
      body: { purpose: "improve", justification: "Formulas are refused too often; see why.", durationMinutes: 60 },
    }),
  );
  const approved = good(
    await as(tokens.approver).POST("/tenants/{tenantId}/review-grants/{grantId}/approve", {
      params: { path: { tenantId, grantId: asked.grantId } },
    }),
  );

  const [first] = good(await reviewer.GET("/tenants/{tenantId}/captures", { params: { path } })).value;
  if (first === undefined) throw new Error("no day");
  const lines = good(
    await reviewer.GET("/tenants/{tenantId}/captures/{day}/{batchId}", {
      params: { path: { tenantId, day: first.day, batchId: stored.batchId } },
      parseAs: "text",
    }),
  );

  const status = good(await as(tokens.operator).GET("/status"));
  const off = good(
    await admin.PUT("/tenants/{tenantId}/data-sharing", { params: { path }, body: { enabled: false } }),
  );

  return {
    on,
    postedStatus: posted.response.status,
    stored,
    refused: refused.error,
    approved,
    lines,
    europe: status.accounts["steurope"]?.oldestDay ?? null,
    lastPurge: status.accounts["steurope"]?.lastPurge?.outcome ?? null,
    off,
  };
}

main().then((told) => console.log(JSON.stringify(told)));
