import { Button, Text, Title2, makeStyles, mergeClasses, tokens } from "@fluentui/react-components";
import { TroubleBar } from "../../app/TroubleBar";
import { When } from "../../app/When";
import { useApp } from "../../app/context";
import { Sign, useSurface, type Look } from "./looks";
import { Advice } from "./parts";
import type { Refreshed } from "./age";
import type { Told } from "./status";
import { allHold } from "./verdicts";

const useStyles = makeStyles({
  summary: {
    display: "flex",
    flexWrap: "wrap",
    alignItems: "center",
    justifyContent: "space-between",
    gap: tokens.spacingHorizontalL,
    padding: tokens.spacingHorizontalL,
    borderRadius: tokens.borderRadiusMedium,
    boxShadow: tokens.shadow4,
    color: tokens.colorNeutralForeground1,
  },
  told: { margin: 0, overflowWrap: "anywhere" },
  age: { display: "flex", flexWrap: "wrap", alignItems: "center", gap: tokens.spacingHorizontalM },
});

/**
 * The whole in one line: whether everything holds, and how old that is.
 *
 * @param old whether what was read must not be taken for what is so now
 * @param now this machine's time
 */
export function Summary({ refreshed, old, now }: { refreshed: Refreshed<Told>; old: boolean; now: number }) {
  const { texts, formats } = useApp();
  const { operator } = texts;
  const styles = useStyles();
  const surfaces = useSurface();
  const { data, readAt, trouble, loading, refresh } = refreshed;
  const look: Look = data && allHold(data.status, data.verdicts) ? (old ? "old" : "good") : data ? "bad" : "old";
  const surface: Look = look === "old" ? "soon" : look;
  const age = readAt === null ? 0 : now - readAt;
  return (
    <>
      <div className={mergeClasses(styles.summary, surfaces[surface])}>
        {/* The age is outside of it: only a change of the state is to be read out. */}
        <div role="status">
          {data && old && (
            <Title2 as="h2" block className={styles.told}>
              <Sign look="old" />
              {operator.notRefreshed(formats.instant(data.status.at))}
            </Title2>
          )}
          <Title2 as={data && old ? "p" : "h2"} block className={styles.told}>
            <Sign look={look} />
            {useTold(data, old)}
          </Title2>
          {data && old && <Text>{operator.oldAdvice}</Text>}
        </div>
        <div className={styles.age}>
          {data && readAt !== null && (
            <Text>
              {operator.refreshed(age < 5000 ? operator.justNow : formats.until(new Date(readAt), new Date(now)))}
              {" · "}
              {operator.asOf} <When at={data.status.at} />
            </Text>
          )}
          <Button onClick={refresh} disabledFocusable={loading}>
            {loading ? operator.refreshing : operator.refresh}
          </Button>
        </div>
      </div>
      {trouble && <TroubleBar trouble={trouble} />}
      {trouble && trouble.status >= 500 && <Advice topic="statusUnreadable" />}
    </>
  );
}

function useTold(data: Told | null, old: boolean): string {
  const { texts, formats, locale } = useApp();
  const { operator } = texts;
  if (!data) return operator.nothingKnown;
  const broken = data.verdicts.filter(({ state }) => state === "broken").map(({ promise }) => promise);
  if (broken.length > 0) return operator.broken(new Intl.ListFormat(locale, { type: "unit" }).format(broken));
  if (!allHold(data.status, data.verdicts)) return operator.notAll;
  const held = formats.number(data.verdicts.filter(({ state }) => state === "holds").length);
  return old ? operator.allHeld(held) : operator.allHold(held);
}
