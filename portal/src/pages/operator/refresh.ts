import { useCallback, useEffect, useRef, useState } from "react";
import { Trouble } from "../../app/api";
import { waitAfter, type Refreshed } from "./age";

const TIMEOUT_MS = 25_000;

/**
 * Reads something again and again. It rests while the tab is hidden, and reads at once when the tab is seen again and
 * the time has come.
 *
 * @param period milliseconds between two readings
 * @param read what is to be read, given what was read before
 */
export function useRefreshed<T>(
  period: number,
  read: (signal: AbortSignal, before: T | null) => Promise<T>,
): Refreshed<T> {
  const [state, setState] = useState<Omit<Refreshed<T>, "refresh">>({
    data: null,
    readAt: null,
    trouble: null,
    loading: true,
  });
  const [asked, setAsked] = useState(0);
  const latest = useRef(read);
  const before = useRef<T | null>(null);
  useEffect(() => {
    latest.current = read;
  });
  useEffect(() => {
    const ended = new AbortController();
    let timer: number | undefined;
    let due = 0;
    let busy = false;
    let failures = 0;

    const plan = () => {
      clearTimeout(timer);
      if (busy || document.hidden || ended.signal.aborted) return;
      timer = window.setTimeout(() => void round(), Math.max(0, due - Date.now()));
    };
    const round = async () => {
      busy = true;
      const change = await attempt();
      busy = false;
      // The effect may have ended while it waited: then another one is reading.
      if (ended.signal.aborted) return;
      failures = change.trouble ? failures + 1 : 0;
      due = Date.now() + waitAfter(period, failures, change.trouble?.retryAfter ?? null);
      setState((last) => ({ ...last, ...change, loading: false }));
      plan();
    };
    const attempt = async (): Promise<{ trouble: Trouble } | { trouble: null; data: T; readAt: number }> => {
      try {
        const signal = AbortSignal.any([ended.signal, AbortSignal.timeout(TIMEOUT_MS)]);
        const data = await latest.current(signal, before.current);
        before.current = data;
        return { trouble: null, data, readAt: Date.now() };
      } catch (error) {
        return { trouble: Trouble.from(error) };
      }
    };

    document.addEventListener("visibilitychange", plan);
    plan();
    return () => {
      ended.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", plan);
    };
  }, [period, asked]);
  const refresh = useCallback(() => {
    setState((last) => ({ ...last, loading: true }));
    setAsked((last) => last + 1);
  }, []);
  return { ...state, refresh };
}

/** The time, again and again, for what grows old on the page. */
export function useNow(every: number): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const tick = () => setNow(Date.now());
    const timer = setInterval(tick, every);
    document.addEventListener("visibilitychange", tick);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", tick);
    };
  }, [every]);
  return now;
}
