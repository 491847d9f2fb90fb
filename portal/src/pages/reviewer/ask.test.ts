import { expect, test } from "vitest";
import { characters, requestOf, tenantIdOf, visible } from "./ask";

const WISH = { purpose: "improve", justification: "Formulas are refused too often.", minutes: "60", enrollmentId: "" };

test("characters that one cannot see do not count", () => {
  expect(visible(`a b\u200B\u3164\u2800\n\t1!€\u0903`)).toBe(6);
  expect(visible("計算式が頻繁に拒否される理由を調べます。")).toBe(20);
  expect(characters("👍👍")).toBe(2);
});

test("a whole wish is a request", () => {
  expect(requestOf(WISH)).toEqual({
    body: { purpose: "improve", justification: "Formulas are refused too often.", durationMinutes: 60 },
  });
  const enrollmentId = "5B1E9C7D3F2A4860B7C8D9E0F1A2B3C4";
  expect(requestOf({ ...WISH, enrollmentId })).toHaveProperty("body.enrollmentId", enrollmentId.toLowerCase());
});

test("each fault is said where it is", () => {
  expect(requestOf({ purpose: "train", justification: "x".repeat(19), minutes: "0", enrollmentId: "x" })).toEqual({
    faults: { purpose: true, justification: "short", minutes: true, enrollmentId: true },
  });
  expect(requestOf({ ...WISH, justification: "x".repeat(501) })).toEqual({ faults: { justification: "long" } });
  for (const minutes of ["", "481", "1.5", "-5", "1e2"]) {
    expect(requestOf({ ...WISH, minutes })).toEqual({ faults: { minutes: true } });
  }
});

test("a tenant id is a GUID in any letter case", () => {
  expect(tenantIdOf(" 3B9E6A52-0C4D-4F18-A7E1-62D05C8F9B30 ")).toBe("3b9e6a52-0c4d-4f18-a7e1-62d05c8f9b30");
  expect(tenantIdOf("contoso.com")).toBeNull();
});
