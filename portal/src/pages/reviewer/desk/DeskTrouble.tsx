import { MessageBar, MessageBarBody, MessageBarTitle } from "@fluentui/react-components";
import type { Trouble } from "../../../app/api";
import { useApp } from "../../../app/context";
import { TroubleBar } from "../../../app/TroubleBar";

/** Says what a look met. That nothing may be read of some days is no failure. */
export function DeskTrouble({ trouble, retry }: { trouble: Trouble; retry: () => void }) {
  const [title, advice] = useApp().texts.desk.noDays;
  if (trouble.kind !== "not-found") return <TroubleBar trouble={trouble} retry={retry} />;
  return (
    <MessageBar intent="warning" layout="multiline">
      <MessageBarBody>
        <MessageBarTitle>{title}</MessageBarTitle> {advice}
      </MessageBarBody>
    </MessageBar>
  );
}
