import {
  Button,
  Card,
  MessageBar,
  MessageBarActions,
  MessageBarBody,
  MessageBarTitle,
  Spinner,
  Switch,
  Text,
} from "@fluentui/react-components";
import { useState } from "react";
import { answered } from "../../app/api";
import { useApp } from "../../app/context";
import { useLoaded, type Loaded } from "../../app/load";
import { TroubleBar } from "../../app/TroubleBar";
import type { Setting } from "./calls";
import { geoName } from "./geo";
import { SwitchOff } from "./SwitchOff";
import { SwitchOn } from "./SwitchOn";

/** The switch: what holds, and the two dialogs that change it. */
export function Sharing({ setting, changed }: { setting: Loaded<Setting>; changed: (told: string) => void }) {
  const { api, texts, formats, locale } = useApp();
  const words = texts.administrator;
  const notices = useLoaded("notices", async () => (await answered(api.GET("/notices"))).value);
  const [asking, setAsking] = useState<"on" | "off" | null>(null);
  const now = setting.data?.value;
  const inForce = notices.data?.find((each) => each.inForce);
  const outdated = now?.enabled === true && inForce !== undefined && now.notice !== inForce.version;
  const state = now && (now.enabled ? words.on(geoName(now.geo ?? "", locale, words), formats.instant(now.since ?? "")) : words.off);
  const done = (told: string) => {
    setAsking(null);
    changed(told);
  };
  return (
    <Card>
      {setting.trouble && <TroubleBar trouble={setting.trouble} retry={setting.reload} />}
      {setting.loading && <Spinner size="tiny" labelPosition="after" label={words.reading} />}
      {now && state && (
        <>
          <Switch
            label={words.switchLabel}
            checked={now.enabled}
            disabled={setting.loading}
            onChange={() => setAsking(now.enabled ? "off" : "on")}
          />
          <Text>{state}</Text>
          {now.notice !== null && <Text>{words.agreedTo(now.notice)}</Text>}
        </>
      )}
      {outdated && (
        <MessageBar intent="warning" layout="multiline">
          <MessageBarBody>
            <MessageBarTitle>{words.renewTitle}</MessageBarTitle>{" "}
            {words.renewAdvice(now.agreedUntil === null ? null : formats.instant(now.agreedUntil))}
          </MessageBarBody>
          <MessageBarActions>
            <Button onClick={() => setAsking("on")}>{words.renew}</Button>
          </MessageBarActions>
        </MessageBar>
      )}
      {asking === "on" && setting.data && (
        <SwitchOn
          setting={setting.data}
          state={setting.loading ? null : (state ?? null)}
          notices={notices}
          reload={setting.reload}
          done={done}
          cancel={() => setAsking(null)}
        />
      )}
      {asking === "off" && setting.data && (
        <SwitchOff
          setting={setting.data}
          state={setting.loading ? null : (state ?? null)}
          reload={setting.reload}
          done={done}
          cancel={() => setAsking(null)}
        />
      )}
    </Card>
  );
}
