import { makeStyles, tokens } from "@fluentui/react-components";
import { answered } from "../../app/api";
import { useApp } from "../../app/context";
import { Accounts } from "./Accounts";
import { Findings } from "./Findings";
import { PAGE } from "./Listing";
import { Outdated } from "./Outdated";
import { Overdue } from "./Overdue";
import { Runs } from "./Runs";
import { Setup } from "./Setup";
import { Summary } from "./Summary";
import { Wall } from "./Wall";
import { isOld } from "./age";
import { useNow, useRefreshed } from "./refresh";
import { readStatus, serviceTime, type Told } from "./status";

const EVERY_MS = 30_000;
/** Agreements change with days, and looking for them reads every tenant. */
const AGREEMENTS_EVERY_MS = 5 * 60_000;
const TICK_MS = 5000;

const useStyles = makeStyles({
  page: {
    display: "grid",
    gridTemplateColumns: "minmax(0, 1fr)",
    gap: tokens.spacingVerticalXXL,
    // On a wall the page takes the width that there is, beyond the column that is good for reading.
    "@media (min-width: 78rem)": { marginInline: "calc(50% - min(50vw - 2rem, 64rem))" },
  },
});

/** For operators: whether the promises hold, why not, and since when. */
export default function OperatorPage() {
  const { api } = useApp();
  const styles = useStyles();
  const now = useNow(TICK_MS);
  const told = useRefreshed<Told>(EVERY_MS, (signal, before) => readStatus(api, signal, before));
  const overdue = useRefreshed(EVERY_MS, async (signal) => {
    const params = { query: { limit: PAGE } };
    return (await answered(api.GET("/overdue-deletions", { params, signal, cache: "no-store" }))).value;
  });
  const outdated = useRefreshed(AGREEMENTS_EVERY_MS, (signal) => {
    const params = { query: { limit: PAGE } };
    return answered(api.GET("/outdated-agreements", { params, signal, cache: "no-store" }));
  });
  const old = isOld(told, EVERY_MS, now);
  const at = told.data ? serviceTime(told.data.status, told.readAt, now) : new Date(now);
  return (
    <div className={styles.page}>
      <Summary refreshed={told} old={old} now={now} />
      {told.data && (
        <>
          <Wall told={told.data} old={old} firstOverdue={overdue.data?.[0]?.deadline ?? null} />
          <Accounts status={told.data.status} now={at} />
        </>
      )}
      <Overdue
        list={overdue}
        old={isOld(overdue, EVERY_MS, now)}
        counted={told.data?.status.overdueDeletions ?? 0}
        now={at}
      />
      {told.data && (
        <>
          <Runs status={told.data.status} old={old} now={at} />
          <Setup status={told.data.status} old={old} />
        </>
      )}
      <Outdated list={outdated} old={isOld(outdated, AGREEMENTS_EVERY_MS, now)} />
      {told.data && <Findings status={told.data.status} />}
    </div>
  );
}
