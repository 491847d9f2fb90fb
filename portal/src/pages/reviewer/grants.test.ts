import { expect, test } from "vitest";
import { aheadBy, liveOf, type Grant } from "./grants";

const grant = (grantId: string, status: Grant["status"], approvedAt?: string): Grant => ({
  grantId,
  tenantId: "t",
  enrollmentId: "e",
  sequence: 1,
  purpose: "improve",
  justification: "",
  durationMinutes: 60,
  requestedBy: "me",
  requestedAt: "2026-11-27T09:00:00Z",
  status,
  ...(approvedAt && { approvedAt }),
});

test("of several live grants the one approved last counts, and none that this page saw end", () => {
  const mine = [
    grant("pending", "pending"),
    grant("earlier", "approved", "2026-11-27T10:00:00.000000Z"),
    grant("later", "approved", "2026-11-27T11:00:00.000000Z"),
    grant("revoked", "revoked", "2026-11-27T12:00:00.000000Z"),
  ];
  expect(liveOf(mine, new Set())?.grantId).toBe("later");
  expect(liveOf(mine, new Set(["later"]))?.grantId).toBe("earlier");
  expect(liveOf(mine, new Set(["later", "earlier"]))).toBeNull();
});

test("the service's clock is known from its answers, and never behind what it is", () => {
  const date = "Fri, 27 Nov 2026 12:00:00 GMT";
  expect(aheadBy(date, Date.parse("2026-11-27T11:59:00Z"))).toBe(61_000);
  expect(aheadBy(null, 5)).toBe(0);
  expect(aheadBy("soon", 5)).toBe(0);
});
