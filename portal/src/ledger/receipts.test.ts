import { beforeAll, expect, test } from "vitest";
import type { Schemas } from "../app/api";
import { canonical, sha256, type Json } from "./canonical";
import { checkConsent, checkDeletion, type LedgerEvent } from "./receipts";
import type { Key } from "./signature";

const TENANT = "3b9e6a52-0c4d-4f18-a7e1-62d05c8f9b30";
const DEADLINE = "2026-12-02T00:00:00.000000Z";
const ABOUT = { tenantId: TENANT, enrollmentId: "e1" };
const EVENT = { tenantId: TENANT, enrollmentId: "e1", geo: "europe", storageAccount: "steurope", actor: "J\u007f\u00fcrgen" };

let keys: Key[];
let sign: (claims: unknown, head?: object) => Promise<string>;
let events: LedgerEvent[];
let claims: Record<string, unknown>;
let deletion: Schemas["DeletionAnswer"];

const base64url = (bytes: Uint8Array): string => btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const encoded = (value: unknown): string => base64url(new TextEncoder().encode(JSON.stringify(value)));

async function newKey(): Promise<{ key: Key; sign: typeof sign }> {
  const pair = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
  const { x = "", y = "" } = await crypto.subtle.exportKey("jwk", pair.publicKey);
  const members = JSON.stringify({ crv: "P-256", kty: "EC", x, y });
  const kid = base64url(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(members))));
  return {
    key: { kty: "EC", crv: "P-256", x, y, kid },
    sign: async (claims, head = {}) => {
      const text = `${encoded({ alg: "ES256", typ: "deletion-receipt+jwt", kid, ...head })}.${encoded(claims)}`;
      const data = new TextEncoder().encode(text);
      const signature = await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, pair.privateKey, data);
      return `${text}.${base64url(new Uint8Array(signature))}`;
    },
  };
}

beforeAll(async () => {
  const made = await newKey();
  keys = [(await newKey()).key, made.key];
  sign = made.sign;
  const on = { ...EVENT, kind: "optedIn", sequence: 1, previousHash: "0".repeat(64), at: "2026-11-01T00:00:00.000000Z" };
  const off = { ...EVENT, kind: "optedOut", sequence: 2, previousHash: await sha256(canonical(on)), deadline: DEADLINE };
  events = [off, on] as unknown as LedgerEvent[];
  claims = {
    tenantId: TENANT,
    enrollmentId: "e1",
    sequence: 2,
    ledgerHash: await sha256(canonical(off)),
    deadline: DEADLINE,
    firstLookAt: "2026-12-01T00:00:00.000000Z",
    secondLookAt: "2026-12-01T00:05:00.000000Z",
    reappeared: [],
  };
  const { firstLookAt, secondLookAt, reappeared, ...beside } = claims;
  const receipt = { firstLookAt, secondLookAt, reappeared, jws: await sign(claims) };
  deletion = { ...beside, purgedAt: firstLookAt, receipt } as unknown as Schemas["DeletionAnswer"];
});

const failing = async (shown: object, known = events): Promise<string[]> =>
  (await checkDeletion(ABOUT, shown as typeof deletion, keys, known)).filter((each) => !each.holds).map((each) => each.name);

test("P6: a genuine receipt passes every check", async () => {
  expect(await checkDeletion(ABOUT, deletion, keys, events)).toHaveLength(5);
  expect(await failing(deletion)).toEqual([]);
});

test("P6: what is shown beside the signature must be what was signed", async () => {
  expect(await failing({ ...deletion, deadline: "2027-01-01T00:00:00.000000Z" })).toEqual(["facts"]);
  expect(await failing({ ...deletion, purgedAt: "2026-11-30T00:00:00.000000Z" })).toEqual(["facts"]);
  const more = { ...deletion.receipt, containersDeleted: 3 };
  expect(await failing({ ...deletion, receipt: more })).toEqual(["facts"]);
});

test("P6: only a published key signs, by ES256, and by its own name", async () => {
  const forged = async (jws: string) => failing({ ...deletion, receipt: { ...deletion.receipt, jws } });
  expect(await forged(await sign(claims))).toEqual([]);
  for (const jws of [
    await (await newKey()).sign(claims),
    await (await newKey()).sign(claims, { kid: keys[1]?.kid }),
    await sign(claims, { alg: "none" }),
    await sign(claims, { typ: "JWT" }),
    await sign(claims, { crit: ["exp"] }),
    `${await sign(claims)}.x`,
    "",
    "a.b.c",
  ]) {
    expect(await forged(jws), jws.slice(0, 40)).toEqual(["signature"]);
  }
});

test("P6: the ledger must have the very event, and be a whole chain", async () => {
  const [off, on] = events;
  expect(await failing(deletion, [{ ...off, deadline: "2027-01-01" } as LedgerEvent, on as LedgerEvent])).toEqual(["ledger"]);
  expect(await failing(deletion, [off as LedgerEvent])).toEqual(["chain"]);
  expect(await failing(deletion, [off as LedgerEvent, { ...on, actor: "Eve" } as LedgerEvent])).toEqual(["chain"]);
  expect(await failing(deletion, [])).toEqual(["ledger", "chain"]);
});

test("P6: a receipt is not taken for another's", async () => {
  for (const change of [{ enrollmentId: "e2" }, { tenantId: "t2" }]) {
    const checks = await checkDeletion({ ...ABOUT, ...change }, deletion, keys, events);
    expect(checks.filter((each) => !each.holds).map((each) => each.name)).toEqual(["facts", "ledger"]);
  }
  const optIn = { ...claims, sequence: 1, ledgerHash: await sha256(canonical(events[1] as unknown as Json)) };
  const receipt = { ...deletion.receipt, jws: await sign(optIn) };
  expect(await failing({ ...deletion, ...optIn, firstLookAt: undefined, receipt })).toContain("ledger");
});

test("a hash is of the JSON that Python writes", () => {
  expect(canonical({ b: [1, true, null], a: "\u007f\u00fc\u2028\ud83d\ude00\n\"" })).toBe(
    '{"a":"\\u007f\\u00fc\\u2028\\ud83d\\ude00\\n\\"","b":[1,true,null]}',
  );
});

test("P11: a record of consent must be exactly what was signed, and name events of the ledger", async () => {
  const event = events[1];
  const named = { sequence: 1, ledgerHash: await sha256(canonical(event as unknown as Json)) };
  const record = { ...ABOUT, events: [named] };
  const check = async (shown: object, signed: object) =>
    (await checkConsent(ABOUT, { record: shown, jws: await sign(signed) } as never, keys, events))
      .filter((each) => !each.holds)
      .map((each) => each.name);
  expect(await check(record, record)).toEqual([]);
  expect(await check({ ...record, purposes: [] }, record)).toEqual(["facts"]);
  const other = { ...record, events: [{ ...named, ledgerHash: "0" }] };
  expect(await check(other, other)).toEqual(["ledger"]);
});
