import { MessageBar, MessageBarBody } from "@fluentui/react-components";
import { useState } from "react";
import { useApp } from "../../app/context";
import { useLoaded } from "../../app/load";
import { deletionsOf, historyOf, readSetting, all } from "./calls";
import { Sharing } from "./Sharing";
import { Timeline } from "./Timeline";

/** The switch, and the timeline of what became of the data. */
export function Overview() {
  const { api, person } = useApp();
  const setting = useLoaded("setting", () => readSetting(api, person.tenantId));
  const past = useLoaded("past", async () => {
    const [events, deletions] = await Promise.all([
      all(historyOf(api, person.tenantId)),
      all(deletionsOf(api, person.tenantId)),
    ]);
    return { events, deletions };
  });
  const [told, setTold] = useState<string | null>(null);
  const changed = (what: string) => {
    setTold(what);
    setting.reload();
    past.reload();
  };
  return (
    <>
      <div role="status">
        {told && (
          <MessageBar intent="success" layout="multiline">
            <MessageBarBody>{told}</MessageBarBody>
          </MessageBar>
        )}
      </div>
      <Sharing setting={setting} changed={changed} />
      <Timeline past={past} />
    </>
  );
}
