import { useEffect } from "react";
import type { Trouble } from "../../../app/api";

/** Tells at once that there is no live grant any more: then the page takes away what it shows. */
export function useRefusal(trouble: Trouble | null, onRefused: () => void): void {
  const isRefused = trouble?.kind === "grant-required";
  useEffect(() => {
    if (isRefused) onRefused();
  }, [isRefused, onRefused]);
}
