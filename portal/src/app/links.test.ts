import { expect, test } from "vitest";
import { queryOf } from "./links";

test("a link to the next page tells where it begins", () => {
  expect(queryOf("https://other.example/api/tenants/t/captures?day=2026-11-27&limit=200&after=ab", "after")).toBe("ab");
  expect(queryOf(undefined, "after")).toBeNull();
});
