import { useState } from "react";
import { useAction } from "../../app/action";

/** Runs a change, and tells what is happening and what went wrong. */
export function useSaving() {
  const { busy, trouble, run } = useAction();
  const [what, setWhat] = useState("");
  return {
    saving: busy ? what : null,
    trouble,
    run: (first: string, work: (tell: (next: string) => void) => Promise<void>) => {
      setWhat(first);
      return run(() => work(setWhat));
    },
  };
}
