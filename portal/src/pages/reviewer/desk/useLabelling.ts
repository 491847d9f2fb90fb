import { useEffect, useRef, useState } from "react";
import { Trouble, answered } from "../../../app/api";
import { useApp } from "../../../app/context";
import { draftOf, isSame, keyOf, labelBy, labelOf, labelled, type Draft, type Faults, type Found } from "./label";

/** What became of a label. */
export type Outcome =
  | { kind: "saving" | "withdrawn"; key: string }
  | { kind: "saved"; key: string; verdict: string | null }
  | { kind: "failed"; key: string; trouble: Trouble; retry: () => void };

export interface Labelling {
  /** What is typed for a capture, or what there is. */
  draft: (found: Found) => Draft;
  isUnsaved: (found: Found) => boolean;
  change: (found: Found, draft: Draft) => void;
  faults: (found: Found) => Faults;
  save: (found: Found, draft: Draft) => void;
  withdraw: (found: Found) => void;
  outcome: Outcome | null;
}

/**
 * What is typed and saved of labels. It is in the memory of the page only, as a comment may repeat what a customer has
 * said, and is kept for each capture until it is saved.
 *
 * @param replace puts a capture with another label in the place of the same one
 */
export function useLabelling(tenantId: string, replace: (found: Found) => void): Labelling {
  const { api, person } = useApp();
  const [drafts, setDrafts] = useState<ReadonlyMap<string, Draft>>(new Map());
  const [faulty, setFaulty] = useState<{ key: string; faults: Faults } | null>(null);
  const [outcome, setOutcome] = useState<Outcome | null>(null);
  /** One after the other, so that the last key that was pressed is the one that counts. */
  const queue = useRef(Promise.resolve());
  const abort = useRef<AbortController | null>(null);
  useEffect(() => {
    const controller = (abort.current = new AbortController());
    return () => controller.abort();
  }, []);

  const saved = (found: Found): Draft => draftOf(labelBy(found, person.objectId));
  const draft = (found: Found): Draft => drafts.get(keyOf(found)) ?? saved(found);

  function change(found: Found, next: Draft | null): void {
    setFaulty(null);
    setDrafts((before) => {
      const after = new Map(before);
      if (next) after.set(keyOf(found), next);
      else after.delete(keyOf(found));
      return after;
    });
  }

  /** Does something to a label as soon as all that came before is done. */
  function enqueue(found: Found, work: (signal: AbortSignal) => Promise<Outcome>): void {
    const key = keyOf(found);
    setOutcome({ kind: "saving", key });
    queue.current = queue.current.then(async () => {
      const signal = abort.current?.signal;
      if (!signal || isOver(signal)) return;
      try {
        const done = await work(signal);
        if (!isOver(signal)) setOutcome(done);
      } catch (error) {
        const trouble = Trouble.from(error);
        if (!isOver(signal)) setOutcome({ kind: "failed", key, trouble, retry: () => enqueue(found, work) });
      }
    });
  }

  function save(found: Found, next: Draft): void {
    change(found, next);
    const wanted = labelOf(next);
    if ("faults" in wanted) {
      setFaulty({ key: keyOf(found), faults: wanted.faults });
      return;
    }
    const { day, batchId, line } = found;
    enqueue(found, async (signal) => {
      const params = { path: { tenantId, day, batchId, line } };
      const label = await answered(
        api.PUT("/tenants/{tenantId}/captures/{day}/{batchId}/{line}/label", { params, body: wanted.body, signal }),
      );
      replace(labelled(found, person.objectId, label));
      // What was typed after that is not saved yet.
      setDrafts((before) => {
        const typed = before.get(keyOf(found));
        return typed && isSame(typed, next) ? without(before, keyOf(found)) : before;
      });
      return { kind: "saved", key: keyOf(found), verdict: label.verdict ?? null };
    });
  }

  function withdraw(found: Found): void {
    const { day, batchId, line } = found;
    enqueue(found, async (signal) => {
      const params = { path: { tenantId, day, batchId, line } };
      await answered(api.DELETE("/tenants/{tenantId}/captures/{day}/{batchId}/{line}/label", { params, signal }));
      replace(labelled(found, person.objectId, null));
      setDrafts((before) => without(before, keyOf(found)));
      return { kind: "withdrawn", key: keyOf(found) };
    });
  }

  return {
    draft,
    isUnsaved: (found) => {
      const typed = drafts.get(keyOf(found));
      return typed !== undefined && !isSame(typed, saved(found));
    },
    change,
    faults: (found) => (faulty?.key === keyOf(found) ? faulty.faults : {}),
    save,
    withdraw,
    outcome,
  };
}

/** Asked anew each time: while something is waited for, the page may be taken away. */
const isOver = (signal: AbortSignal): boolean => signal.aborted;

function without<T>(map: ReadonlyMap<string, T>, key: string): ReadonlyMap<string, T> {
  return new Map([...map].filter(([each]) => each !== key));
}
