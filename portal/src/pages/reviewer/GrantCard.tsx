import { Badge, Card, makeStyles, tokens } from "@fluentui/react-components";
import type { ReactNode } from "react";
import { useApp } from "../../app/context";
import { When } from "../../app/When";
import type { Grant } from "./grants";
import { Said } from "./Said";

const useStyles = makeStyles({
  facts: {
    margin: 0,
    display: "grid",
    gridTemplateColumns: "minmax(8rem, auto) minmax(0, 1fr)",
    gap: `${tokens.spacingVerticalXS} ${tokens.spacingHorizontalL}`,
    "@media (max-width: 480px)": { gridTemplateColumns: "minmax(0, 1fr)", rowGap: 0 },
  },
  name: { color: tokens.colorNeutralForeground2, "@media (max-width: 480px)": { marginTop: tokens.spacingVerticalXS } },
  value: { margin: 0, overflowWrap: "anywhere" },
  actions: { display: "flex", flexWrap: "wrap", alignItems: "center", gap: tokens.spacingHorizontalM },
});

const COLORS = {
  pending: "warning",
  approved: "success",
  revoked: "danger",
  expired: "informative",
  lapsed: "informative",
} as const;

/** A grant, with what can be done about it below. */
export function GrantCard({
  grant,
  lapsesAt,
  showTenant = false,
  children,
}: {
  grant: Grant;
  /** Until when it can be approved. */
  lapsesAt?: string;
  showTenant?: boolean;
  children?: ReactNode;
}) {
  const styles = useStyles();
  const { texts, formats, person } = useApp();
  const { facts, purposes, statuses } = texts.reviewer;
  const who = (id: string | undefined): string => (id === person.objectId ? texts.reviewer.you : (id ?? ""));
  return (
    <Card role="group" aria-label={`${statuses[grant.status]}: ${purposes[grant.purpose][0]}`}>
      <dl className={styles.facts}>
        <Fact name={facts.status}>
          <Badge appearance="tint" color={COLORS[grant.status]}>
            {statuses[grant.status]}
          </Badge>
        </Fact>
        {showTenant && <Fact name={facts.tenant}>{grant.tenantId}</Fact>}
        <Fact name={facts.purpose}>{purposes[grant.purpose].join(": ")}</Fact>
        <Fact name={facts.justification}>
          <Said>{grant.justification}</Said>
        </Fact>
        <Fact name={facts.duration}>{facts.minutes(formats.number(grant.durationMinutes))}</Fact>
        <Fact name={facts.requested}>
          <When at={grant.requestedAt} />, {who(grant.requestedBy)}
        </Fact>
        {lapsesAt && (
          <Fact name={facts.lapses}>
            <When at={lapsesAt} />
          </Fact>
        )}
        {grant.approvedAt && (
          <Fact name={facts.approved}>
            <When at={grant.approvedAt} />, {who(grant.approvedBy)}
          </Fact>
        )}
        {grant.expiresAt && (
          <Fact name={facts.ends}>
            <When at={grant.expiresAt} />
          </Fact>
        )}
        {grant.revokedAt && (
          <Fact name={facts.revoked}>
            <When at={grant.revokedAt} />, {who(grant.revokedBy)}
          </Fact>
        )}
        <Fact name={facts.enrollment}>{grant.enrollmentId}</Fact>
      </dl>
      {children && <div className={styles.actions}>{children}</div>}
    </Card>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  const styles = useStyles();
  return (
    <>
      <dt className={styles.name}>{name}</dt>
      <dd className={styles.value}>{children}</dd>
    </>
  );
}
