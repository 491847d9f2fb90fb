import { Link, Spinner, Text, makeStyles, tokens } from "@fluentui/react-components";
import { useEffect } from "react";
import { answered } from "../../app/api";
import { useApp } from "../../app/context";
import { useLoaded } from "../../app/load";
import { to } from "../../app/route";
import { TroubleBar } from "../../app/TroubleBar";

const useStyles = makeStyles({
  list: { listStyle: "none", margin: 0, padding: 0, display: "flex", flexWrap: "wrap", gap: tokens.spacingHorizontalM },
  day: {
    display: "block",
    padding: `${tokens.spacingVerticalS} ${tokens.spacingHorizontalM}`,
    border: `1px solid ${tokens.colorNeutralStroke1}`,
    borderRadius: tokens.borderRadiusMedium,
    backgroundColor: tokens.colorNeutralBackground1,
  },
});

/** The days of which there are captures. That they were listed is on the record. */
export function Days({ tenantId, onRefused }: { tenantId: string; onRefused: () => void }) {
  const styles = useStyles();
  const { api, texts, formats } = useApp();
  const { data, trouble, loading, reload } = useLoaded("days", async (signal) => {
    const page = await answered(api.GET("/tenants/{tenantId}/captures", { params: { path: { tenantId } }, signal }));
    return page.value.map(({ day }) => day);
  });
  useEffect(() => {
    if (trouble?.kind === "grant-required") onRefused();
  }, [trouble, onRefused]);
  if (loading) return <Spinner label={texts.loading} />;
  if (trouble) return <TroubleBar trouble={trouble} retry={reload} />;
  if (!data?.length) return <Text>{texts.reviewer.noDays}</Text>;
  return (
    <ul className={styles.list}>
      {data.map((day) => (
        <li key={day}>
          <Link className={styles.day} href={to("reviewer", tenantId, day)}>
            {formats.day(day)}
          </Link>
        </li>
      ))}
    </ul>
  );
}
