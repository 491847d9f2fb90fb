import createClient, { type Client } from "openapi-fetch";
import type { components, paths } from "../generated/api";
import { API, type Session } from "./session";

export type Api = Client<paths>;
export type Schemas = components["schemas"];

/** Why a call did not succeed: a problem of the API (RFC 9457), or that there was no answer. */
export class Trouble extends Error {
  /**
   * @param kind the problem's type without `urn:problem:`, or `offline`, or `signed-out`
   * @param status the HTTP status; 0 without an answer
   * @param retryAfter seconds after which it may be tried again, if the service said so
   * @param claims what a further sign-in must ask for, of a step-up challenge
   * @param problem the whole problem
   */
  constructor(
    readonly kind: string,
    readonly status = 0,
    readonly retryAfter: number | null = null,
    readonly claims: string | null = null,
    readonly problem: Partial<Schemas["Problem"]> = {},
  ) {
    super(kind);
  }

  /** What a call met, whatever was thrown. */
  static from(error: unknown): Trouble {
    return error instanceof Trouble ? error : new Trouble("unknown");
  }

  static of(problem: unknown, answer: Response): Trouble {
    const said = (typeof problem === "object" && problem !== null ? problem : {}) as Partial<Schemas["Problem"]>;
    const kind = said.type?.replace("urn:problem:", "") ?? (answer.status >= 500 ? "unavailable" : "unknown");
    const seconds = Number(answer.headers.get("Retry-After") ?? NaN);
    return new Trouble(
      answer.status === 401 && !challenge(answer) ? "signed-out" : kind,
      answer.status,
      Number.isFinite(seconds) ? seconds : null,
      challenge(answer),
      said,
    );
  }
}

/** The claims of a challenge for a stronger sign-in, which Entra takes as they are. */
function challenge(answer: Response): string | null {
  const encoded = /\bclaims="([^"]+)"/.exec(answer.headers.get("WWW-Authenticate") ?? "")?.[1];
  return encoded ? atob(encoded) : null;
}

/** Makes the client of the API that speaks with the token of whoever is signed in. */
export function apiOf(session: Session): Api {
  const client = createClient<paths>({ baseUrl: API.href.replace(/\/$/, "") });
  client.use({
    async onRequest({ request }) {
      const token = await session.token();
      if (token) request.headers.set("Authorization", `Bearer ${token}`);
      return request;
    },
    onError: () => new Trouble("offline"),
  });
  return client;
}

/** Returns the data of a call, or throws the `Trouble` that it met. */
export async function answered<T>(call: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  const { data, error, response } = await call;
  if (!response.ok) throw Trouble.of(error, response);
  return data as T;
}
