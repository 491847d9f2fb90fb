import { Link, MessageBar, MessageBarBody, MessageBarTitle, Spinner, Text, makeStyles, tokens } from "@fluentui/react-components";
import { Suspense, lazy, useCallback, useState } from "react";
import { useApp } from "../../app/context";
import { to } from "../../app/route";
import { TroubleBar } from "../../app/TroubleBar";
import { AskForm } from "./AskForm";
import { Clock } from "./Clock";
import { Day } from "./Day";
import { Days } from "./Days";
import { GrantCard } from "./GrantCard";
import { liveOf } from "./grants";
import { Paged } from "./Paged";
import { PageTitle } from "./PageTitle";
import { RevokeButton } from "./RevokeButton";
import { Section } from "./Section";
import { useGrants } from "./useGrants";

const Desk = lazy(() => import("./desk/Desk"));

const useStyles = makeStyles({
  // No grid: in one, what is sticky stays within its own row.
  page: { display: "flex", flexDirection: "column", gap: tokens.spacingVerticalL, minWidth: 0 },
});

/** A tenant's captures, as long as there is a live grant; one's grants; and the way to get one. */
export function Tenant({ tenantId, day }: { tenantId: string; day: string | undefined }) {
  const styles = useStyles();
  const { reviewer, desk, loading } = useApp().texts;
  const grants = useGrants(tenantId);
  const { data, reload } = grants;
  /** Grants that this page saw end, perhaps a moment before the service says so. */
  const [over, setOver] = useState<ReadonlySet<string>>(new Set());
  const live = data && liveOf(data.mine, over);
  const [lastLive, setLastLive] = useState<string | null>(null);
  if (live && live.grantId !== lastLive) setLastLive(live.grantId);
  const isWaiting = !live && data?.mine.some((each) => each.status === "pending");

  const onOver = useCallback(
    (grantId: string) => {
      setOver((before) => new Set(before).add(grantId));
      reload();
    },
    [reload],
  );
  const liveId = live?.grantId;
  const onRefused = useCallback(() => {
    if (liveId) onOver(liveId);
  }, [liveId, onOver]);

  return (
    <div className={styles.page}>
      <Link href={to("reviewer")}>{reviewer.tenant.other}</Link>
      <div>
        <PageTitle>{reviewer.tenant.title(tenantId)}</PageTitle>
        <Text role="status">{live ? reviewer.isLive : isWaiting ? reviewer.isWaiting : ""}</Text>
      </div>
      {grants.trouble && <TroubleBar trouble={grants.trouble} retry={reload} />}
      {!data && grants.loading && <Spinner label={loading} />}
      {live && <Clock key={live.grantId} grant={live} ahead={data.ahead} onOver={onOver} />}
      {!live && lastLive && (
        <MessageBar intent="warning" layout="multiline" politeness="assertive">
          <MessageBarBody>
            <MessageBarTitle>{reviewer.ended[0]}</MessageBarTitle> {reviewer.ended[1]}
          </MessageBarBody>
        </MessageBar>
      )}
      {live && day === "desk" && (
        <Suspense fallback={<Spinner label={loading} />}>
          <Desk key={live.grantId} tenantId={tenantId} onRefused={onRefused} />
        </Suspense>
      )}
      {live && day !== undefined && day !== "desk" && (
        <Day key={`${live.grantId} ${day}`} tenantId={tenantId} day={day} onRefused={onRefused} />
      )}
      {live && day === undefined && <Link href={to("reviewer", tenantId, "desk")}>{desk.link}</Link>}
      {live && day === undefined && (
        <Section title={reviewer.days}>
          <Text>{reviewer.recorded}</Text>
          <Days key={live.grantId} tenantId={tenantId} onRefused={onRefused} />
        </Section>
      )}
      {data && (!live || day === undefined) && (
        <>
          <Section title={reviewer.mine}>
            {data.mine.length === 0 && <Text>{reviewer.noGrants}</Text>}
            <Paged items={data.mine} size={5}>
              {(shown) =>
                shown.map((each) => (
                  <GrantCard key={each.grantId} grant={each}>
                    {each.status === "pending" && (
                      <RevokeButton grant={each} label={reviewer.withdraw} onRevoked={() => reload()} />
                    )}
                    {each.status === "approved" && (
                      <RevokeButton grant={each} label={reviewer.end} onRevoked={() => onOver(each.grantId)} />
                    )}
                  </GrantCard>
                ))
              }
            </Paged>
          </Section>
          <Section title={reviewer.ask.title}>
            <AskForm tenantId={tenantId} onAsked={reload} />
          </Section>
        </>
      )}
    </div>
  );
}
