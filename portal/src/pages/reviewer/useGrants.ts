import { useEffect } from "react";
import { answered } from "../../app/api";
import { useApp } from "../../app/context";
import { useLoaded, type Loaded } from "../../app/load";
import { aheadBy, type Grant } from "./grants";

export interface Grants {
  mine: readonly Grant[];
  /** How many milliseconds the service's clock is ahead of this machine's. */
  ahead: number;
}

/** So soon a page learns that a grant was approved or revoked. */
const EVERY = 10_000;

/** Reads one's own grants for a tenant's captures, newest first, again and again. */
export function useGrants(tenantId: string): Loaded<Grants> {
  const { api, person } = useApp();
  const loaded = useLoaded(`grants ${tenantId}`, async (signal): Promise<Grants> => {
    // A grant ends at most 32 hours after it was asked for. So a live one is among the newest, and one page is enough.
    const call = api.GET("/tenants/{tenantId}/review-grants", {
      params: { path: { tenantId }, query: { limit: 200 } },
      signal,
    });
    const { value } = await answered(call);
    const { response } = await call;
    return {
      mine: value.filter((each) => each.requestedBy === person.objectId),
      ahead: aheadBy(response.headers.get("Date"), Date.now()),
    };
  });
  const { loading, reload } = loaded;
  useEffect(() => {
    if (loading) return;
    const timer = setTimeout(reload, EVERY);
    return () => clearTimeout(timer);
  }, [loading, reload]);
  return loaded;
}
