import { UserManager, WebStorageStateStore, type User } from "oidc-client-ts";

/** Where the page is, without query and fragment: people come back here from signing in. */
export const HERE = new URL("./", location.href.split(/[?#]/)[0]);

/** Where the API is: the page is served below it. */
export const API = new URL("../", HERE);

/** Who is signed in. The page only uses the roles to decide what to offer; the API decides what is allowed. */
export interface Person {
  name: string;
  tenantId: string;
  objectId: string;
  roles: readonly Role[];
}

export type Role = "administrator" | "operator" | "reviewer" | "approver";

const APP_ROLES: Record<string, Role> = {
  "Operations.Read": "operator",
  "Captures.Review": "reviewer",
  "Captures.Approve": "approver",
};

interface Settings {
  authority: string;
  clientId: string;
  scopes: string[];
}

/** Signs in by authorization code with PKCE, and keeps the tokens in session storage: they end with the tab. */
export class Session {
  private constructor(private readonly manager: UserManager) {}

  /** Reads the settings of this deployment. Throws if it offers no portal or does not answer. */
  static async open(): Promise<Session> {
    const answer = await fetch(new URL("settings.json", HERE));
    if (!answer.ok) throw new Error(`settings.json: ${answer.status}`);
    const settings = (await answer.json()) as Settings;
    const store = new WebStorageStateStore({ store: sessionStorage });
    return new Session(
      new UserManager({
        authority: settings.authority,
        client_id: settings.clientId,
        scope: ["openid", "profile", "offline_access", ...settings.scopes].join(" "),
        redirect_uri: HERE.href,
        post_logout_redirect_uri: HERE.href,
        userStore: store,
        stateStore: store,
        automaticSilentRenew: true,
        monitorSession: false,
      }),
    );
  }

  /** Returns who is signed in, having finished a sign-in if the address bar holds one. */
  async person(): Promise<Person | null> {
    const query = new URLSearchParams(location.search);
    if (query.has("state") && (query.has("code") || query.has("error"))) {
      let back = "";
      try {
        const { state } = await this.manager.signinRedirectCallback();
        if (typeof state === "string" && state.startsWith("#/")) back = state;
      } finally {
        // The code has been used up, and nobody should bookmark it.
        history.replaceState(null, "", HERE.pathname + back);
      }
    }
    const user = await this.manager.getUser();
    return user && !user.expired ? personOf(user) : null;
  }

  /** Returns the access token, renewed if it has run out; null if nobody is signed in any more. */
  async token(): Promise<string | null> {
    const user = await this.manager.getUser();
    if (user && !user.expired) return user.access_token;
    if (!user?.refresh_token) return null;
    try {
      return (await this.manager.signinSilent())?.access_token ?? null;
    } catch {
      return null;
    }
  }

  /** Leaves the page to sign in, and comes back to where it was; `claims` is what a challenge asked for (step-up). */
  async signIn(claims?: string): Promise<void> {
    await this.manager.signinRedirect({ state: location.hash, ...(claims ? { extraQueryParams: { claims } } : {}) });
  }

  async signOut(): Promise<void> {
    await this.manager.signoutRedirect();
  }
}

function personOf(user: User): Person {
  const claims = claimsOf(user.access_token);
  const roles: Role[] = [];
  if (strings(claims["wids"]).length > 0) roles.push("administrator");
  for (const role of strings(claims["roles"])) {
    const known = APP_ROLES[role];
    if (known) roles.push(known);
  }
  return {
    name: user.profile.name ?? user.profile.preferred_username ?? "",
    tenantId: text(claims["tid"]),
    objectId: text(claims["oid"]),
    roles,
  };
}

/** What an access token says. It is the API's, so what cannot be read here counts as nothing. */
function claimsOf(token: string): Record<string, unknown> {
  try {
    const payload = (token.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(payload), (each) => each.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;
  } catch {
    return {};
  }
}

const text = (value: unknown): string => (typeof value === "string" ? value : "");

const strings = (value: unknown): string[] =>
  Array.isArray(value) ? value.filter((each) => typeof each === "string") : [];
