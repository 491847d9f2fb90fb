import { createContext, use } from "react";
import type { Messages } from "../messages/en";
import type { Api } from "./api";
import type { Formats } from "./formats";
import type { Person, Session } from "./session";

/** What every page needs. */
export interface App {
  session: Session;
  api: Api;
  person: Person;
  /** The language of the page: `en`, `de` or `ja`. */
  locale: string;
  texts: Messages;
  formats: Formats;
}

export const AppContext = createContext<App | null>(null);

export function useApp(): App {
  const app = use(AppContext);
  if (!app) throw new Error("There is no app around this.");
  return app;
}
