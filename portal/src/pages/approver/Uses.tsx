import { Button, Text, makeStyles, tokens } from "@fluentui/react-components";
import { useState } from "react";
import { useAction } from "../../app/action";
import { answered, type Schemas } from "../../app/api";
import { useApp } from "../../app/context";
import { TroubleBar } from "../../app/TroubleBar";
import type { Grant } from "../reviewer/grants";

const useStyles = makeStyles({ list: { margin: 0, paddingLeft: tokens.spacingHorizontalXL, flexBasis: "100%" } });

/** What a grant was used for: how often what was done under it. Read on demand, as of then. */
export function Uses({ grant: { tenantId, grantId } }: { grant: Grant }) {
  const styles = useStyles();
  const { api, texts, formats } = useApp();
  const words = texts.desk.uses;
  const actions = texts.administrator.access.actions as Readonly<Partial<Record<string, string>>>;
  const [uses, setUses] = useState<Schemas["GrantUsesAnswer"]["value"] | null>(null);
  const { busy, trouble, run } = useAction();
  const show = () =>
    run(async () => {
      const params = { path: { tenantId, grantId } };
      setUses((await answered(api.GET("/tenants/{tenantId}/review-grants/{grantId}/uses", { params }))).value);
    });
  return (
    <>
      <Button disabledFocusable={busy} onClick={() => busy || void show()}>
        {words.show}
      </Button>
      {trouble && <TroubleBar trouble={trouble} retry={() => void show()} />}
      {uses?.length === 0 && <Text>{words.none}</Text>}
      {uses && uses.length > 0 && (
        <ul className={styles.list} aria-label={words.show}>
          {uses.map(({ action, count }) => (
            <li key={action}>{words.count(actions[action] ?? action, formats.number(count))}</li>
          ))}
        </ul>
      )}
    </>
  );
}
