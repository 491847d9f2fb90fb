import { Button, Link, Spinner, Subtitle1, Text, makeStyles, tokens } from "@fluentui/react-components";
import { useEffect, useMemo, useRef, useState } from "react";
import { Trouble, answered } from "../../app/api";
import { useApp } from "../../app/context";
import { to } from "../../app/route";
import { TroubleBar } from "../../app/TroubleBar";
import { BadLines } from "./BadLines";
import { BatchList } from "./BatchList";
import { batchOf, conversationsOf, type Batch } from "./captures";
import { ConversationView } from "./ConversationView";
import { Paged } from "./Paged";
import { useBatchIds } from "./useBatchIds";

const AT_ONCE = 10;

const useStyles = makeStyles({
  day: { display: "flex", flexDirection: "column", gap: tokens.spacingVerticalL },
  bar: { display: "flex", flexWrap: "wrap", alignItems: "center", gap: tokens.spacingHorizontalM },
  list: { display: "grid", gridTemplateColumns: "minmax(0, 1fr)", gap: tokens.spacingVerticalL },
});

/**
 * A day's batches, and the conversations in those that were chosen. What was read is in the memory of this component and
 * nowhere else: when the grant ends, the page takes the component away.
 */
export function Day({ tenantId, day, onRefused }: { tenantId: string; day: string; onRefused: () => void }) {
  const styles = useStyles();
  const { api, texts, formats } = useApp();
  const { reviewer } = texts;
  const list = useBatchIds(tenantId, day);
  const [batches, setBatches] = useState<ReadonlyMap<string, Batch>>(new Map());
  const [reading, setReading] = useState(false);
  const [failed, setFailed] = useState<{ trouble: Trouble; ids: readonly string[] } | null>(null);
  const abort = useRef<AbortController | null>(null);
  useEffect(() => () => abort.current?.abort(), []);

  const refused = (failed?.trouble ?? list.trouble)?.kind === "grant-required";
  useEffect(() => {
    if (refused) onRefused();
  }, [refused, onRefused]);

  /** Reads batches one after another, each on the record, until one cannot be read. */
  async function read(ids: readonly string[]): Promise<void> {
    abort.current?.abort();
    const { signal } = (abort.current = new AbortController());
    setReading(true);
    setFailed(null);
    for (const [index, batchId] of ids.entries()) {
      try {
        const content = await answered(
          api.GET("/tenants/{tenantId}/captures/{day}/{batchId}", {
            params: { path: { tenantId, day, batchId } },
            parseAs: "text",
            signal,
          }),
        );
        if (signal.aborted) return;
        setBatches((before) => new Map(before).set(batchId, batchOf(batchId, content)));
      } catch (error) {
        if (signal.aborted) return;
        const trouble = Trouble.from(error);
        setFailed({ trouble, ids: ids.slice(index) });
        break;
      }
    }
    setReading(false);
  }

  function choose(id: string): void {
    if (batches.has(id)) setBatches((before) => new Map([...before].filter(([each]) => each !== id)));
    else void read([id]);
  }

  function clear(): void {
    abort.current?.abort();
    setReading(false);
    setFailed(null);
    setBatches(new Map());
  }

  const conversations = useMemo(() => conversationsOf([...batches.values()].flatMap((each) => each.captures)), [batches]);
  const bad = useMemo(() => [...batches.values()].flatMap((each) => each.bad), [batches]);
  const next = useMemo(() => list.ids.filter((id) => !batches.has(id)).slice(0, AT_ONCE), [list.ids, batches]);
  const { loadMore } = list;
  const allRead = list.ids.length > 0 && next.length === 0;
  useEffect(() => {
    if (allRead) loadMore();
  }, [allRead, loadMore]);

  const buttons = (
    <div className={styles.bar}>
      <Button appearance="primary" disabledFocusable={next.length === 0 || reading} onClick={() => void read(next)}>
        {reviewer.readNext(next.length, formats.number(next.length))}
      </Button>
      <Button disabledFocusable={batches.size === 0} onClick={clear}>
        {reviewer.clear}
      </Button>
      {reading && <Spinner size="tiny" label={reviewer.reading} />}
    </div>
  );

  return (
    <div className={styles.day}>
      <Link href={to("reviewer", tenantId)}>{reviewer.allDays}</Link>
      <Subtitle1 as="h3">{formats.day(day)}</Subtitle1>
      <Text>{reviewer.recorded}</Text>
      {list.trouble && <TroubleBar trouble={list.trouble} retry={list.retry} />}
      {list.ids.length > 0 && <BatchList ids={list.ids} open={batches} onChoose={choose} onNearEnd={loadMore} />}
      <Text role="status">
        {list.loading
          ? texts.loading
          : reviewer.counts(
              `${formats.number(list.ids.length)}${list.hasMore ? "+" : ""}`,
              formats.number(batches.size),
              formats.number(conversations.length),
            )}
      </Text>
      {list.ids.length > 0 && buttons}
      {failed && <TroubleBar trouble={failed.trouble} retry={() => void read(failed.ids)} />}
      <BadLines lines={bad} />
      {conversations.length > 0 && (
        <div className={styles.list}>
          <Paged items={conversations} size={20}>
            {(shown) =>
              shown.map((each, index) => <ConversationView key={each.key} conversation={each} number={index + 1} />)
            }
          </Paged>
          {buttons}
        </div>
      )}
    </div>
  );
}
