import { Button, Spinner, Text, makeStyles } from "@fluentui/react-components";
import { useState } from "react";
import { answered } from "../../app/api";
import { useApp } from "../../app/context";
import { queryOf } from "../../app/links";
import { useLoaded } from "../../app/load";
import { TroubleBar } from "../../app/TroubleBar";
import { Section } from "../reviewer/Section";
import { Decision } from "./Decision";

const useStyles = makeStyles({ button: { alignSelf: "start" } });

/** All grants for a tenant's captures, a page at a time, the newest request first. */
export function TenantGrants({ tenantId }: { tenantId: string }) {
  const styles = useStyles();
  const { api, texts, formats } = useApp();
  const { approver } = texts.reviewer;
  const [before, setBefore] = useState<number | null>(null);
  const { data, trouble, loading, reload } = useLoaded(`${before}`, (signal) =>
    answered(
      api.GET("/tenants/{tenantId}/review-grants", {
        params: { path: { tenantId }, query: { limit: 20, ...(before !== null && { before }) } },
        signal,
      }),
    ),
  );
  const older = Number(queryOf(data?.nextLink, "before") ?? NaN);
  return (
    <Section title={approver.grants}>
      <Button className={styles.button} size="small" disabledFocusable={loading} onClick={reload}>
        {approver.refresh}
      </Button>
      {loading && <Spinner label={texts.loading} />}
      {trouble && <TroubleBar trouble={trouble} retry={reload} />}
      {data?.value.length === 0 && <Text>{approver.none}</Text>}
      {data?.unreadable && <Text>{approver.unreadable(data.unreadable, formats.number(data.unreadable))}</Text>}
      {data?.value.map((each) => (
        <Decision key={each.grantId} grant={each} />
      ))}
      {before !== null && (
        <Button className={styles.button} onClick={() => setBefore(null)}>
          {approver.newest}
        </Button>
      )}
      {Number.isFinite(older) && (
        <Button className={styles.button} onClick={() => setBefore(older)}>
          {approver.older}
        </Button>
      )}
    </Section>
  );
}
