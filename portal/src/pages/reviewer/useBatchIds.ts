import { useCallback, useEffect, useRef, useState } from "react";
import { Trouble, answered } from "../../app/api";
import { useApp } from "../../app/context";
import { queryOf } from "../../app/links";

interface State {
  ids: readonly string[];
  /** Where the next page begins; null after the last one. */
  after: string | null;
  loading: boolean;
  trouble: Trouble | null;
}

export interface BatchIds extends Omit<State, "after"> {
  hasMore: boolean;
  /** Reads the next page, unless one is being read, could not be read, or there is none. */
  loadMore: () => void;
  retry: () => void;
}

const START: State = { ids: [], after: "", loading: true, trouble: null };

/** The ids of a day's batches, page after page as they are needed: each page is a look, and on the record. */
export function useBatchIds(tenantId: string, day: string): BatchIds {
  const { api } = useApp();
  const [state, setState] = useState(START);
  const { after, loading, trouble } = state;
  const latest = useRef(after);
  useEffect(() => {
    latest.current = after;
  });

  useEffect(() => {
    if (!loading) return;
    const abort = new AbortController();
    const from = latest.current;
    answered(
      api.GET("/tenants/{tenantId}/captures", {
        params: { path: { tenantId }, query: { day, limit: 200, ...(from && { after: from }) } },
        signal: abort.signal,
      }),
    )
      .then(({ value, nextLink }) => {
        const found = value.flatMap(({ batchId }) => batchId ?? []);
        if (!abort.signal.aborted) {
          setState(({ ids }) => ({
            ids: [...ids, ...found],
            after: queryOf(nextLink, "after"),
            loading: false,
            trouble: null,
          }));
        }
      })
      .catch((error: unknown) => {
        if (abort.signal.aborted) return;
        const met = Trouble.from(error);
        setState((before) => ({ ...before, loading: false, trouble: met }));
      });
    return () => abort.abort();
  }, [api, tenantId, day, loading]);

  const retry = useCallback(() => setState((before) => ({ ...before, loading: true, trouble: null })), []);
  const loadMore = useCallback(() => {
    setState((before) => (before.loading || before.trouble || !before.after ? before : { ...before, loading: true }));
  }, []);
  return { ids: state.ids, loading, trouble, hasMore: Boolean(after), loadMore, retry };
}
