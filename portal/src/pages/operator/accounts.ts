import type { Schemas } from "../../app/api";

type Accounts = Pick<Schemas["StatusAnswer"], "accounts">;
type Named = readonly [name: string, account: Schemas["AccountAnswer"]];

/** Returns the storage accounts, those of a geo one after the other. */
export function accountsOf({ accounts }: Accounts): readonly Named[] {
  const key = ([name, { geo }]: Named) => `${geo} ${name}`;
  return Object.entries(accounts).sort((one, other) => (key(one) < key(other) ? -1 : 1));
}

/** Returns the geos that have storage accounts, each with its own. */
export function geosOf(status: Accounts): readonly { geo: string; accounts: readonly Named[] }[] {
  const all = accountsOf(status);
  return [...new Set(all.map(([, { geo }]) => geo))].map((geo) => ({
    geo,
    accounts: all.filter(([, account]) => account.geo === geo),
  }));
}

/** Returns how to name a place of which the service speaks: a storage account is named with its geo. */
export function placeOf(name: string, { accounts }: Accounts): string {
  const account = Object.hasOwn(accounts, name) ? accounts[name] : undefined;
  return account ? `${account.geo}, ${name}` : name;
}
