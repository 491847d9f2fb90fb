import { Button, MessageBar, MessageBarActions, MessageBarBody, MessageBarTitle } from "@fluentui/react-components";
import type { Trouble } from "./api";
import { useApp } from "./context";

/** Says what went wrong and what to do about it; what was typed stays where it is. */
export function TroubleBar({ trouble, retry }: { trouble: Trouble; retry?: (() => void) | undefined }) {
  const { texts, formats, session } = useApp();
  const [title, advice] = texts.troubles[trouble.kind] ?? texts.troubles.unknown;
  const signIn = trouble.kind === "signed-out" || trouble.claims !== null;
  return (
    <MessageBar intent={trouble.status === 403 || trouble.status === 409 ? "warning" : "error"} layout="multiline">
      <MessageBarBody>
        <MessageBarTitle>{trouble.claims ? texts.stepUp : title}</MessageBarTitle>{" "}
        {trouble.claims ? texts.stepUpAdvice : advice}
        {trouble.retryAfter !== null && <> {texts.retryAfter(formats.number(Math.ceil(trouble.retryAfter / 60)))}</>}
      </MessageBarBody>
      <MessageBarActions>
        {signIn && <Button onClick={() => void session.signIn(trouble.claims ?? undefined)}>{texts.signIn}</Button>}
        {!signIn && retry && <Button onClick={retry}>{texts.tryAgain}</Button>}
      </MessageBarActions>
    </MessageBar>
  );
}
