import type { Json } from "./canonical";

/** A public key of receipts, as `GET /receipt-keys` answers it. */
export interface Key {
  kty: string;
  crv: string;
  x: string;
  y: string;
  kid: string;
}

const TYPE = "deletion-receipt+jwt";

/**
 * Returns what a compact JWS says, or null unless one of `keys` has signed it: ES256 and nothing else, and the key is
 * found by its thumbprint (RFC 7638), not by the name that somebody gave it.
 */
export async function signedBy(jws: string, keys: readonly Key[]): Promise<Record<string, Json> | null> {
  try {
    const [head = "", body = "", signature = "", ...rest] = jws.split(".");
    const header = JSON.parse(new TextDecoder().decode(bytes(head))) as Record<string, unknown>;
    if (rest.length > 0 || Object.keys(header).sort().join() !== "alg,kid,typ") return null;
    if (header["alg"] !== "ES256" || header["typ"] !== TYPE) return null;
    for (const key of keys) {
      if (key.kty !== "EC" || key.crv !== "P-256" || (await thumbprint(key)) !== header["kid"]) continue;
      const { kty, crv, x, y } = key;
      const imported = await crypto.subtle.importKey("jwk", { kty, crv, x, y }, CURVE, false, ["verify"]);
      const good = await crypto.subtle.verify(
        { name: "ECDSA", hash: "SHA-256" },
        imported,
        bytes(signature),
        new TextEncoder().encode(`${head}.${body}`),
      );
      return good ? (JSON.parse(new TextDecoder().decode(bytes(body))) as Record<string, Json>) : null;
    }
    return null;
  } catch {
    return null; // whatever is no JWS, no JSON or no key has signed nothing
  }
}

const CURVE = { name: "ECDSA", namedCurve: "P-256" };

async function thumbprint({ crv, kty, x, y }: Key): Promise<string> {
  const text = JSON.stringify({ crv, kty, x, y });
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  return btoa(String.fromCharCode(...digest)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function bytes(base64url: string): Uint8Array<ArrayBuffer> {
  if (!/^[A-Za-z0-9_-]*$/.test(base64url)) throw new Error("This is not base64url.");
  return Uint8Array.from(atob(base64url.replaceAll("-", "+").replaceAll("_", "/")), (each) => each.charCodeAt(0));
}
