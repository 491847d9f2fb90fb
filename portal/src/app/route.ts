import { useSyncExternalStore } from "react";

/** The route is in the fragment, so the server knows of none: `#/administrator/history`. */
export function useRoute(): readonly string[] {
  const hash = useSyncExternalStore(subscribe, () => location.hash);
  return hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decoded);
}

export const to = (...parts: string[]): string => `#/${parts.map(encodeURIComponent).join("/")}`;

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return "";
  }
}

function subscribe(changed: () => void): () => void {
  addEventListener("hashchange", changed);
  return () => removeEventListener("hashchange", changed);
}
