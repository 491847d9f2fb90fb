import { Badge, Button, Card, Subtitle2, Text, makeStyles, tokens } from "@fluentui/react-components";
import { useState } from "react";
import { useAction } from "../../app/action";
import { answered } from "../../app/api";
import { useApp } from "../../app/context";
import { TroubleBar } from "../../app/TroubleBar";
import { When } from "../../app/When";
import { checkConsent, checkDeletion, type LedgerEvent } from "../../ledger/receipts";
import { change, expedite, receiptKeys, type Deletion } from "./calls";
import { geoName } from "./geo";
import { ReceiptCheck } from "./ReceiptCheck";
import { stepsOf } from "./steps";

const useStyles = makeStyles({
  card: { marginTop: tokens.spacingVerticalM },
  head: { display: "flex", flexWrap: "wrap", alignItems: "center", gap: tokens.spacingHorizontalM },
  steps: { listStyleType: "none", margin: 0, padding: 0, display: "grid", gap: tokens.spacingVerticalS },
  step: {
    display: "grid",
    gridTemplateColumns: "minmax(0, 12rem) minmax(0, 1fr)",
    paddingLeft: tokens.spacingHorizontalM,
    borderLeft: `4px solid ${tokens.colorBrandStroke1}`,
    "@media (max-width: 30rem)": { gridTemplateColumns: "minmax(0, 1fr)" },
  },
  toCome: { borderLeft: `4px dashed ${tokens.colorNeutralStrokeAccessible}` },
});

/** One enrollment: what happened and when, what is still to come, and its receipts. */
export function Enrollment(props: {
  enrollmentId: string;
  events: readonly LedgerEvent[];
  deletion: Deletion | null;
  /** When all of this was read. */
  now: Date;
  reload: () => void;
}) {
  const styles = useStyles();
  const { api, person, texts, formats, locale } = useApp();
  const words = texts.administrator;
  const { enrollmentId, events, deletion, now } = props;
  const [told, setTold] = useState<string | null>(null);
  const { trouble, run } = useAction();
  const first = events.find((each) => each.enrollmentId === enrollmentId);
  const geo = first?.geo ?? "";
  const since = first?.startedAt ?? "";
  const isNewest = events[0]?.enrollmentId === enrollmentId;
  const stopped = events.some(
    (each) =>
      each.enrollmentId === enrollmentId &&
      (each.kind === "reviewStopped" || (each.kind === "optedOut" && each.stopReview === true)),
  );
  const act = (done: string, work: () => Promise<unknown>) =>
    void run(async () => {
      await work();
      setTold(done);
      props.reload();
    });
  const path = { tenantId: person.tenantId, enrollmentId };
  return (
    <Card className={styles.card} role="group" aria-label={words.enrollment(geoName(geo, locale, words), formats.instant(since))}>
      <div className={styles.head}>
        <Subtitle2 as="h4">{words.enrollment(geoName(geo, locale, words), formats.instant(since))}</Subtitle2>
        <Badge appearance="tint" color={deletion?.status === "verified" ? "success" : "informative"}>
          {deletion ? words.statuses[deletion.status] : words.live}
        </Badge>
      </div>
      <ul className={styles.steps}>
        {stepsOf(events, enrollmentId, deletion).map((step) => {
          const toCome = Date.parse(step.at) > now.getTime();
          return (
            <li key={`${step.name} ${step.at}`} className={toCome ? `${styles.step} ${styles.toCome}` : styles.step}>
              <Text weight="semibold">{words.steps[step.name]}</Text>
              <span>
                <When at={step.at} /> {toCome && `(${formats.until(step.at, now)})`}
              </span>
            </li>
          );
        })}
      </ul>
      <div className={styles.head}>
        {deletion?.status === "scheduled" && Date.parse(deletion.notBefore) > now.getTime() && (
          <Button onClick={() => act(words.hastened, () => expedite(api, person.tenantId, enrollmentId))}>
            {words.hasten}
          </Button>
        )}
        {deletion?.status === "scheduled" && isNewest && !stopped && (
          <Button
            onClick={() =>
              act(words.reviewStopped, () => change(api, person.tenantId, { enabled: false, stopReview: true }, null))
            }
          >
            {words.stopReview}
          </Button>
        )}
      </div>
      <div role="status">{told}</div>
      {trouble && <TroubleBar trouble={trouble} />}
      <ReceiptCheck
        title={words.receipts.consent}
        file={`consent-${enrollmentId}.json`}
        read={() =>
          answered(api.GET("/tenants/{tenantId}/enrollments/{enrollmentId}/consent-receipt", { params: { path } }))
        }
        check={async (shown) => checkConsent(path, shown, await receiptKeys(api), events)}
      />
      {deletion?.receipt && (
        <ReceiptCheck
          title={words.receipts.deletion}
          file={`deletion-${enrollmentId}.json`}
          read={() => answered(api.GET("/tenants/{tenantId}/deletions/{enrollmentId}", { params: { path } }))}
          check={async (shown) => checkDeletion(path, shown, await receiptKeys(api), events)}
        />
      )}
    </Card>
  );
}
