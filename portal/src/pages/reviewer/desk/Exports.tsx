import {
  Badge,
  Button,
  Card,
  Dialog,
  DialogActions,
  DialogBody,
  DialogContent,
  DialogSurface,
  DialogTitle,
  MessageBar,
  MessageBarBody,
  Spinner,
  Text,
  makeStyles,
  tokens,
} from "@fluentui/react-components";
import { useEffect, useRef, useState, type ReactNode } from "react";
import { useAction } from "../../../app/action";
import { answered, type Api, type Schemas } from "../../../app/api";
import { useApp } from "../../../app/context";
import { queryOf } from "../../../app/links";
import { useLoaded } from "../../../app/load";
import { save } from "../../../app/save";
import { TroubleBar } from "../../../app/TroubleBar";
import { When } from "../../../app/When";
import { sha256 } from "../../../ledger/canonical";
import { Section } from "../Section";
import { assembled } from "./download";
import { useRefusal } from "./useRefusal";

type Export = Schemas["ExportAnswer"];

/** So soon it is looked again how far the exports are that are being made. */
const EVERY = 3000;
const SHOWN = 20;

const useStyles = makeStyles({
  bar: { display: "flex", flexWrap: "wrap", alignItems: "center", gap: tokens.spacingHorizontalM },
  facts: {
    margin: 0,
    display: "grid",
    gridTemplateColumns: "minmax(8rem, auto) minmax(0, 1fr)",
    gap: `${tokens.spacingVerticalXS} ${tokens.spacingHorizontalL}`,
    "@media (max-width: 480px)": { gridTemplateColumns: "minmax(0, 1fr)", rowGap: 0 },
  },
  name: { color: tokens.colorNeutralForeground2 },
  value: { margin: 0, overflowWrap: "anywhere" },
  hash: { fontFamily: tokens.fontFamilyMonospace, fontSize: tokens.fontSizeBase200 },
});

const COLORS: Readonly<Record<string, "warning" | "success" | "danger" | "informative">> = {
  running: "warning",
  ready: "success",
  stopped: "danger",
  deleted: "informative",
};

/** The exports of the tenant's captures, newest first; the list looks again by itself while one is being made. */
export function Exports({ tenantId, asked, onRefused }: { tenantId: string; asked: Export | null; onRefused: () => void }) {
  const styles = useStyles();
  const { api, texts, formats } = useApp();
  const words = texts.desk.exports;
  const [before, setBefore] = useState<number | null>(null);
  const { data, trouble, loading, reload } = useLoaded(`${before}`, (signal) => pageOf(api, tenantId, before, signal));
  useRefusal(trouble, onRefused);
  const isRunning = data?.value.some(({ status }) => status === "running") ?? false;
  useEffect(() => {
    if (!isRunning || loading) return;
    const timer = setTimeout(reload, EVERY);
    return () => clearTimeout(timer);
  }, [isRunning, loading, reload]);
  const older = Number(queryOf(data?.nextLink, "before") ?? NaN);
  return (
    <Section title={words.title}>
      <Text>{words.meaning}</Text>
      <Text>{words.copies}</Text>
      <Text role="status">{asked && words.asked}</Text>
      <div className={styles.bar}>
        <Button size="small" disabledFocusable={loading} onClick={reload}>
          {words.refresh}
        </Button>
        {loading && !data && <Spinner size="tiny" label={texts.loading} />}
      </div>
      {trouble && <TroubleBar trouble={trouble} retry={reload} />}
      {data?.value.length === 0 && <Text>{words.none}</Text>}
      {data?.unreadable && <Text>{words.unreadable(formats.number(data.unreadable))}</Text>}
      {data?.value.map((each) => (
        <ExportCard key={each.exportId} tenantId={tenantId} export={each} onChanged={reload} onRefused={onRefused} />
      ))}
      <div className={styles.bar}>
        {before !== null && <Button onClick={() => setBefore(null)}>{words.newest}</Button>}
        {Number.isFinite(older) && <Button onClick={() => setBefore(older)}>{words.older}</Button>}
      </div>
    </Section>
  );
}

/** Reads a page of exports, and of each that is being made how far it is: only the export itself says that. */
async function pageOf(
  api: Api,
  tenantId: string,
  before: number | null,
  signal: AbortSignal,
): Promise<Schemas["ExportPageAnswer"]> {
  const query = { limit: SHOWN, ...(before !== null && { before }) };
  const page = await answered(api.GET("/tenants/{tenantId}/exports", { params: { path: { tenantId }, query }, signal }));
  const value = page.value.map(async (each) => {
    if (each.status !== "running") return each;
    const params = { path: { tenantId, exportId: each.exportId } };
    return answered(api.GET("/tenants/{tenantId}/exports/{exportId}", { params, signal }));
  });
  return { ...page, value: await Promise.all(value) };
}

function ExportCard(props: { tenantId: string; export: Export; onChanged: () => void; onRefused: () => void }) {
  const styles = useStyles();
  const { api, texts, formats, person, locale } = useApp();
  const words = texts.desk.exports;
  const { facts } = words;
  const { export: made, tenantId } = props;
  const { exportId } = made;
  const [isAsking, setAsking] = useState(false);
  const [got, setGot] = useState<number | null>(null);
  const [outcome, setOutcome] = useState<"holds" | "differs" | "deleted" | null>(null);
  const { busy, trouble, run } = useAction();
  useRefusal(trouble, props.onRefused);
  const abort = useRef<AbortController | null>(null);
  useEffect(() => {
    const controller = (abort.current = new AbortController());
    return () => controller.abort();
  }, []);

  const download = (size: number, hash: string) =>
    run(async () => {
      const signal = abort.current?.signal ?? null;
      setOutcome(null);
      setGot(0);
      try {
        const file = await assembled(size, (first, last) => partOf(api, tenantId, exportId, first, last, signal), setGot);
        const holds = (await sha256(file)) === hash;
        // A grant that has ended meanwhile has taken this page away, and nothing is saved any more.
        if (signal?.aborted) return;
        if (holds) save(`captures-${made.firstDay}-${made.lastDay}-${exportId.slice(0, 8)}.jsonl.gz`, "application/gzip", file);
        setOutcome(holds ? "holds" : "differs");
      } finally {
        setGot(null);
      }
    });
  const remove = () =>
    run(async () => {
      await answered(api.DELETE("/tenants/{tenantId}/exports/{exportId}", { params: { path: { tenantId, exportId } } }));
      setOutcome("deleted");
      props.onChanged();
    });

  const members = texts.desk.members as Readonly<Partial<Record<string, string>>>;
  const chosenBy = made.filteredBy.map((each) => members[each] ?? each);
  const { bytes, sha256: hash, captures, progress, expiresAt, reason } = made;
  const isDone = made.status === "stopped" || made.status === "deleted";
  return (
    <Card role="group" aria-label={words.of(formats.instant(made.requestedAt))}>
      <dl className={styles.facts}>
        <Fact name={facts.status}>
          <Badge appearance="tint" color={COLORS[made.status] ?? "informative"}>
            {words.statuses[made.status] ?? made.status}
          </Badge>{" "}
          {progress && words.progress(formats.number(progress.captures), words.bytes(formats.number(progress.bytes)))}
        </Fact>
        {reason && <Fact name={facts.reason}>{texts.desk.reasons[reason] ?? reason}</Fact>}
        <Fact name={facts.asked}>
          <When at={made.requestedAt} />, {made.requestedBy === person.objectId ? texts.reviewer.you : made.requestedBy}
        </Fact>
        <Fact name={facts.days}>{words.to(formats.day(made.firstDay), formats.day(made.lastDay))}</Fact>
        <Fact name={facts.filteredBy}>
          {chosenBy.length === 0 ? words.everything : new Intl.ListFormat(locale, { type: "unit" }).format(chosenBy)}
        </Fact>
        {captures !== undefined && <Fact name={facts.captures}>{formats.number(captures)}</Fact>}
        {bytes !== undefined && <Fact name={facts.size}>{words.bytes(formats.number(bytes))}</Fact>}
        {expiresAt && (
          <Fact name={facts.expires}>
            <When at={expiresAt} />
          </Fact>
        )}
        {hash && (
          <Fact name={facts.hash}>
            <span className={styles.hash}>{hash}</span>
          </Fact>
        )}
      </dl>
      <div className={styles.bar}>
        {made.status === "ready" && bytes !== undefined && hash !== undefined && (
          <Button appearance="primary" disabledFocusable={busy} onClick={() => busy || void download(bytes, hash)}>
            {words.download}
          </Button>
        )}
        {!isDone && (
          <Button disabledFocusable={busy} onClick={() => busy || setAsking(true)}>
            {made.status === "running" ? words.stop : words.delete}
          </Button>
        )}
        <Text role="status">
          {got !== null && bytes !== undefined && words.downloading(formats.number(got), formats.number(bytes))}
          {outcome === "holds" && words.holds}
          {outcome === "deleted" && words.deleted}
        </Text>
      </div>
      {outcome === "differs" && (
        <MessageBar intent="error" layout="multiline">
          <MessageBarBody>{words.differs}</MessageBarBody>
        </MessageBar>
      )}
      {trouble && <TroubleBar trouble={trouble} />}
      {isAsking && (
        <Dialog open modalType="alert" onOpenChange={(_, { open }) => open || setAsking(false)}>
          <DialogSurface>
            <DialogBody>
              <DialogTitle>{words.of(formats.instant(made.requestedAt))}</DialogTitle>
              <DialogContent>{words.ask}</DialogContent>
              <DialogActions>
                <Button onClick={() => setAsking(false)}>{words.keep}</Button>
                <Button
                  appearance="primary"
                  onClick={() => {
                    setAsking(false);
                    void remove();
                  }}
                >
                  {words.delete}
                </Button>
              </DialogActions>
            </DialogBody>
          </DialogSurface>
        </Dialog>
      )}
    </Card>
  );
}

async function partOf(
  api: Api,
  tenantId: string,
  exportId: string,
  first: number,
  last: number,
  signal: AbortSignal | null,
): Promise<ArrayBuffer> {
  return answered<ArrayBuffer>(
    api.GET("/tenants/{tenantId}/exports/{exportId}/content", {
      params: { path: { tenantId, exportId }, header: { Range: `bytes=${first}-${last}` } },
      parseAs: "arrayBuffer",
      cache: "no-store",
      signal,
    }),
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
