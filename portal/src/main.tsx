import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Shell } from "./app/Shell";
import { Session } from "./app/session";
import { en } from "./messages/en";

const root = document.getElementById("root");
if (!root) throw new Error("The page has no root.");

try {
  const session = await Session.open();
  const person = await session.person().catch(() => null);
  createRoot(root).render(
    <StrictMode>
      <Shell session={session} person={person} />
    </StrictMode>,
  );
} catch {
  root.textContent = en.noPortal;
}
