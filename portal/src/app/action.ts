import { useState } from "react";
import { Trouble } from "./api";

/** Does something on demand, and tells whether it is being done and what it met. */
export function useAction() {
  const [busy, setBusy] = useState(false);
  const [trouble, setTrouble] = useState<Trouble | null>(null);
  const run = async (work: () => Promise<void>) => {
    setBusy(true);
    setTrouble(null);
    try {
      await work();
    } catch (error) {
      setTrouble(Trouble.from(error));
    }
    setBusy(false);
  };
  return { busy, trouble, run };
}
