import { Text, makeStyles, mergeClasses, shorthands, tokens } from "@fluentui/react-components";
import { useEffect, useState } from "react";
import { useApp } from "../../app/context";
import type { Grant } from "./grants";
import { digits, secondsLeft, urgency } from "./remaining";
import { RevokeButton } from "./RevokeButton";

const useStyles = makeStyles({
  bar: {
    position: "sticky",
    top: 0,
    zIndex: 2,
    display: "flex",
    flexWrap: "wrap",
    alignItems: "center",
    gap: `${tokens.spacingVerticalXS} ${tokens.spacingHorizontalL}`,
    padding: `${tokens.spacingVerticalS} ${tokens.spacingHorizontalM}`,
    border: `1px solid ${tokens.colorStatusSuccessBorder1}`,
    borderRadius: tokens.borderRadiusMedium,
    backgroundColor: tokens.colorStatusSuccessBackground1,
    boxShadow: tokens.shadow4,
  },
  soon: { ...shorthands.borderColor(tokens.colorStatusWarningBorder1), backgroundColor: tokens.colorStatusWarningBackground1 },
  last: { ...shorthands.borderColor(tokens.colorStatusDangerBorder1), backgroundColor: tokens.colorStatusDangerBackground1 },
  digits: { fontVariantNumeric: "tabular-nums" },
  // On a narrow page it must leave room to read.
  told: { marginRight: "auto", "@media (max-width: 480px)": { display: "none" } },
  button: { marginLeft: "auto" },
});

/** How long a grant still lasts; calls `onOver` when it has ended. */
export function Clock({
  grant,
  ahead,
  onOver,
}: {
  grant: Grant;
  ahead: number;
  onOver: (grantId: string) => void;
}) {
  const styles = useStyles();
  const { texts } = useApp();
  const { clock, purposes } = texts.reviewer;
  const now = useNow();
  const left = secondsLeft(grant.expiresAt ?? "", grant.durationMinutes * 60, now + ahead);
  const urgent = urgency(left);
  const { grantId } = grant;
  useEffect(() => {
    if (urgent === "over") onOver(grantId);
  }, [urgent, onOver, grantId]);
  return (
    <section
      className={mergeClasses(styles.bar, urgent === "soon" && styles.soon, urgent === "last" && styles.last)}
      aria-label={clock.label}
    >
      <Text weight="semibold">
        {clock.ends}{" "}
        <span role="timer" className={styles.digits}>
          {digits(left)}
        </span>
      </Text>
      <Text className={styles.told}>{purposes[grant.purpose][0]}</Text>
      <RevokeButton
        className={styles.button}
        grant={grant}
        label={texts.reviewer.end}
        size="small"
        onRevoked={() => onOver(grantId)}
      />
      {/* Said once each, not every second. */}
      <Text role="status">
        {urgent === "soon" ? clock.soon : urgent === "last" ? clock.last : ""}
      </Text>
    </section>
  );
}

/** The time in milliseconds, each second, and at once when the machine wakes up or the tab comes to the front. */
function useNow(): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const tick = (): void => setNow(Date.now());
    const timer = setInterval(tick, 1000);
    document.addEventListener("visibilitychange", tick);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", tick);
    };
  }, []);
  return now;
}
