import { useEffect, useRef, useState } from "react";
import { Trouble, answered } from "../../../app/api";
import { useApp } from "../../../app/context";
import { keyOf, type Found } from "./label";
import { AT_ONCE, START, follow, type Ask, type Progress } from "./search";

export interface Search extends Progress {
  /** What was asked for last; null as long as nothing was. */
  ask: Ask | null;
  isRunning: boolean;
  trouble: Trouble | null;
  start: (ask: Ask) => void;
  /** Goes on from where it has come to, also after a failure. */
  goOn: () => void;
  stop: () => void;
  /** Puts a capture in the place of the same one. */
  replace: (found: Found) => void;
}

/** Finds captures page after page, each of them a look and on the record. What is found is here and nowhere else. */
export function useSearch(tenantId: string): Search {
  const { api } = useApp();
  const [ask, setAsk] = useState<Ask | null>(null);
  const [progress, setProgress] = useState(START);
  const [isRunning, setRunning] = useState(false);
  const [trouble, setTrouble] = useState<Trouble | null>(null);
  const abort = useRef<AbortController | null>(null);
  useEffect(() => () => abort.current?.abort(), []);

  async function run(what: Ask, from: Progress): Promise<void> {
    abort.current?.abort();
    const { signal } = (abort.current = new AbortController());
    setRunning(true);
    setTrouble(null);
    try {
      await follow(
        from,
        (cursor) => page(what, cursor, signal),
        (next) => {
          if (signal.aborted) return;
          // What was labelled meanwhile stays as it was labelled.
          setProgress((before) => ({ ...next, found: [...before.found, ...next.found.slice(before.found.length)] }));
        },
        what.sample ? Infinity : AT_ONCE,
      );
    } catch (error) {
      if (signal.aborted) return;
      const met = Trouble.from(error);
      setTrouble(met);
    }
    if (!signal.aborted) setRunning(false);
  }

  function page(what: Ask, cursor: string | null, signal: AbortSignal) {
    const params = { path: { tenantId } };
    const at = cursor === null ? {} : { cursor };
    const { selection, sample } = what;
    return sample
      ? answered(api.POST("/tenants/{tenantId}/captures/sample", { params, body: { ...selection, ...sample, ...at }, signal }))
      : answered(api.POST("/tenants/{tenantId}/captures/find", { params, body: { ...selection, limit: AT_ONCE, ...at }, signal }));
  }

  return {
    ...progress,
    ask,
    isRunning,
    trouble,
    start: (next) => {
      setAsk(next);
      setProgress(START);
      void run(next, START);
    },
    goOn: () => {
      if (ask) void run(ask, progress);
    },
    stop: () => {
      abort.current?.abort();
      setRunning(false);
    },
    replace: (found) =>
      setProgress((before) => ({
        ...before,
        found: before.found.map((each) => (keyOf(each) === keyOf(found) ? found : each)),
      })),
  };
}
