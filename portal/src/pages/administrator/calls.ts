import { answered, Trouble, type Api, type Schemas } from "../../app/api";
import { queryOf } from "../../app/links";
import type { LedgerEvent } from "../../ledger/receipts";
import type { Key } from "../../ledger/signature";

export type Deletion = Schemas["DeletionAnswer"];
export type AccessRecord = Schemas["AccessRecord"];

/** The setting and the ETag that a change of it is to name, so that nobody overwrites what they have not seen. */
export interface Setting {
  value: Schemas["DataSharingAnswer"];
  etag: string | null;
}

export async function readSetting(api: Api, tenantId: string): Promise<Setting> {
  const call = await api.GET("/tenants/{tenantId}/data-sharing", { params: { path: { tenantId } }, cache: "no-store" });
  return { value: await answered(Promise.resolve(call)), etag: call.response.headers.get("ETag") };
}

export interface Page<T> {
  value: T[];
  nextLink?: string;
  unreadable?: number;
}

/** Reads one page of a list: the first, or the one that the page before it links to. */
type ReadPage<T> = (before: number | undefined) => Promise<Page<T>>;

const LIMIT = 100;

export const historyOf = (api: Api, tenantId: string): ReadPage<LedgerEvent> => async (before) =>
  answered<Page<LedgerEvent>>(
    api.GET("/tenants/{tenantId}/data-sharing/history", { params: { path: { tenantId }, query: query(before) } }),
  );

export const deletionsOf = (api: Api, tenantId: string): ReadPage<Deletion> => async (before) =>
  answered<Page<Deletion>>(
    api.GET("/tenants/{tenantId}/deletions", { params: { path: { tenantId }, query: query(before) } }),
  );

export const accessOf = (api: Api, tenantId: string): ReadPage<AccessRecord> => async (before) =>
  answered<Page<AccessRecord>>(
    api.GET("/tenants/{tenantId}/access-log", { params: { path: { tenantId }, query: query(before) } }),
  );

/** Reads all pages of a list. */
export async function all<T>(read: ReadPage<T>): Promise<T[]> {
  const found: T[] = [];
  for (let before: number | undefined = undefined, more = true; more; ) {
    const page: Page<T> = await read(before);
    found.push(...page.value);
    before = beforeOf(page);
    more = before !== undefined;
  }
  return found;
}

/** Where the next page begins, as the link to it says; undefined after the last one. */
export function beforeOf(page: Page<unknown>): number | undefined {
  const before = queryOf(page.nextLink, "before");
  return before === null ? undefined : Number(before);
}

export async function receiptKeys(api: Api): Promise<Key[]> {
  return (await answered(api.GET("/receipt-keys"))).keys;
}

const query = (before: number | undefined) => ({ limit: LIMIT, ...(before === undefined ? {} : { before }) });

/** What an administrator wishes, and how the notice was shown. */
export type Wish =
  | { enabled: true; geo: string; notice: string; locale: string }
  | { enabled: false; stopReview: boolean };

/** Changes the setting, unless it is another one by now than the one that was seen. */
export async function change(
  api: Api,
  tenantId: string,
  wish: Wish,
  etag: string | null,
): Promise<Schemas["DataSharingSetAnswer"]> {
  return answered(
    api.PUT("/tenants/{tenantId}/data-sharing", {
      params: { path: { tenantId }, header: etag ? { "If-Match": etag } : {} },
      body: wish as Schemas["DataSharingRequest"],
    }),
  );
}

/** Lets a deletion begin now. It is scheduled some moments after the opt-out, so it may have to be asked again. */
export async function expedite(api: Api, tenantId: string, enrollmentId: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      await answered(
        api.POST("/tenants/{tenantId}/deletions/{enrollmentId}/expedite", { params: { path: { tenantId, enrollmentId } } }),
      );
      return;
    } catch (error) {
      if (!(error instanceof Trouble) || error.kind !== "not-found" || tries === 15) throw error;
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }
}
