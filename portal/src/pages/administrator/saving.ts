import { useState } from "react";
import { Trouble } from "../../app/api";

/** Runs a change, and tells what is happening and what went wrong. */
export function useSaving() {
  const [saving, setSaving] = useState<string | null>(null);
  const [trouble, setTrouble] = useState<Trouble | null>(null);
  const run = async (what: string, work: (tell: (next: string) => void) => Promise<void>) => {
    setSaving(what);
    setTrouble(null);
    try {
      await work(setSaving);
    } catch (error) {
      setTrouble(error instanceof Trouble ? error : new Trouble("unknown"));
    } finally {
      setSaving(null);
    }
  };
  return { saving, trouble, run };
}
