import { Button, type ButtonProps } from "@fluentui/react-components";
import { useAction } from "../../app/action";
import { answered } from "../../app/api";
import { useApp } from "../../app/context";
import { TroubleBar } from "../../app/TroubleBar";
import type { Grant } from "./grants";

/** Ends a grant, or a request for one. */
export function RevokeButton({
  grant,
  label,
  size = "medium",
  className,
  onRevoked,
}: {
  grant: Grant;
  label: string;
  size?: ButtonProps["size"];
  className?: string;
  onRevoked: (revoked: Grant) => void;
}) {
  const { api } = useApp();
  const { busy: isBusy, trouble, run } = useAction();
  const revoke = () =>
    run(async () => {
      const { tenantId, grantId } = grant;
      const params = { path: { tenantId, grantId } };
      onRevoked(await answered(api.POST("/tenants/{tenantId}/review-grants/{grantId}/revoke", { params })));
    });

  return (
    <>
      <Button size={size} {...(className && { className })} disabledFocusable={isBusy} onClick={() => void revoke()}>
        {label}
      </Button>
      {trouble && <TroubleBar trouble={trouble} retry={() => void revoke()} />}
    </>
  );
}
