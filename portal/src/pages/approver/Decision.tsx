import { Button, Link, Text } from "@fluentui/react-components";
import { useState } from "react";
import { useAction } from "../../app/action";
import { answered } from "../../app/api";
import { useApp } from "../../app/context";
import { to } from "../../app/route";
import { TroubleBar } from "../../app/TroubleBar";
import { GrantCard } from "../reviewer/GrantCard";
import type { Grant } from "../reviewer/grants";
import { RevokeButton } from "../reviewer/RevokeButton";
import { Uses } from "./Uses";

/** A grant and what an approver can do about it. Once decided on it stays here, so that it can be revoked at once. */
export function Decision({
  grant: listed,
  lapsesAt,
  showTenant = false,
}: {
  grant: Grant;
  lapsesAt?: string;
  showTenant?: boolean;
}) {
  const { api, texts, person, formats } = useApp();
  const { approver } = texts.reviewer;
  const [decided, setDecided] = useState<Grant | null>(null);
  const { busy: isBusy, trouble, run } = useAction();
  // What was read later counts: somebody else may have ended what was approved here.
  const grant = decided && listed.status === "pending" ? decided : listed;
  const isPending = grant.status === "pending";
  const isOwn = grant.requestedBy === person.objectId;

  const approve = () =>
    run(async () => {
      const { tenantId, grantId } = listed;
      const params = { path: { tenantId, grantId } };
      setDecided(await answered(api.POST("/tenants/{tenantId}/review-grants/{grantId}/approve", { params })));
    });

  return (
    <GrantCard grant={grant} showTenant={showTenant} {...(isPending && lapsesAt && { lapsesAt })}>
      {isPending && isOwn && <Text>{approver.own}</Text>}
      {isPending && !isOwn && (
        <Button appearance="primary" disabledFocusable={isBusy} onClick={() => void approve()}>
          {approver.approve(formats.number(grant.durationMinutes))}
        </Button>
      )}
      {(isPending || grant.status === "approved") && (
        <RevokeButton grant={grant} label={isPending ? approver.reject : approver.revoke} onRevoked={setDecided} />
      )}
      {/* Under what was never approved nothing can have been done. */}
      {grant.approvedAt && <Uses grant={grant} />}
      {showTenant && <Link href={to("approver", grant.tenantId)}>{approver.allOfTenant}</Link>}
      <Text role="status">
        {decided?.status === "approved" && approver.approved}
        {decided?.status === "revoked" && approver.revoked}
      </Text>
      {trouble && <TroubleBar trouble={trouble} />}
    </GrantCard>
  );
}
