import { useCallback, useEffect, useRef, useState } from "react";
import { Trouble } from "./api";

export interface Loaded<T> {
  /** The last thing that was read; what is shown stays while it is read anew. */
  data: T | null;
  trouble: Trouble | null;
  loading: boolean;
  /** When `data` was read. */
  at: Date | null;
  reload: () => void;
}

/**
 * Reads something when the page comes up, when `key` changes, and on `reload`.
 *
 * @param key tells two readings apart
 * @param read what is to be read
 */
export function useLoaded<T>(key: string, read: (signal: AbortSignal) => Promise<T>): Loaded<T> {
  const [state, setState] = useState<Omit<Loaded<T>, "reload">>({ data: null, trouble: null, loading: true, at: null });
  const [round, setRound] = useState(0);
  const latest = useRef(read);
  useEffect(() => {
    latest.current = read;
  });
  useEffect(() => {
    const abort = new AbortController();
    latest
      .current(abort.signal)
      .then((data) => ({ data, trouble: null, loading: false, at: new Date() }))
      .catch((error: unknown) => {
        const trouble = Trouble.from(error);
        return { trouble, loading: false };
      })
      .then((change) => {
        if (!abort.signal.aborted) setState((before) => ({ ...before, ...change }));
      })
      .catch(() => undefined);
    return () => abort.abort();
  }, [key, round]);
  const reload = useCallback(() => {
    setState((before) => ({ ...before, loading: true }));
    setRound((before) => before + 1);
  }, []);
  return { ...state, reload };
}

/** A value that outlives a reload of the tab and a sign-in: what somebody has typed. */
export function useDraft(name: string, initial: string): [string, (value: string) => void] {
  const [value, setValue] = useState(() => sessionStorage.getItem(`draft.${name}`) ?? initial);
  const set = useCallback(
    (next: string) => {
      setValue(next);
      sessionStorage.setItem(`draft.${name}`, next);
    },
    [name],
  );
  return [value, set];
}
