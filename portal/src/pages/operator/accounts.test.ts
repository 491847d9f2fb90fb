import { expect, test } from "vitest";
import type { Schemas } from "../../app/api";
import { accountsOf, geosOf, placeOf } from "./accounts";

const account = (geo: string) => ({ geo, state: "open" }) as Schemas["AccountAnswer"];
const status = { accounts: { stb: account("europe"), sta2: account("asia"), sta: account("europe") } };

test("the accounts of a geo stand together", () => {
  expect(accountsOf(status).map(([name]) => name)).toEqual(["sta2", "sta", "stb"]);
  const geos = geosOf(status).map(({ geo, accounts }) => [geo, accounts.map(([name]) => name)]);
  expect(geos).toEqual([
    ["asia", ["sta2"]],
    ["europe", ["sta", "stb"]],
  ]);
});

test("an account is named with its geo, and what is none as the service names it", () => {
  expect(placeOf("stb", status)).toBe("europe, stb");
  for (const name of ["Cosmos DB", "stc", "constructor"]) expect(placeOf(name, status)).toBe(name);
});
