import { Button, Spinner, Subtitle2, Text, makeStyles, mergeClasses, tokens } from "@fluentui/react-components";
import { useEffect, useRef, useState, type KeyboardEvent } from "react";
import { useApp } from "../../../app/context";
import { TroubleBar } from "../../../app/TroubleBar";
import { captureOf } from "../captures";
import { CaptureView } from "../ConversationView";
import { beginning } from "../hidden";
import { LongList } from "../LongList";
import { Said } from "../Said";
import { DeskTrouble } from "./DeskTrouble";
import { actOf, isField } from "./keys";
import { keyOf, labelBy, type Found } from "./label";
import { LabelPanel } from "./LabelPanel";
import { useLabelling, type Labelling } from "./useLabelling";
import { useRefusal } from "./useRefusal";
import type { Search } from "./useSearch";

const ROW = 60;
const HEIGHT = 8 * ROW;

const useStyles = makeStyles({
  results: { display: "flex", flexDirection: "column", gap: tokens.spacingVerticalM, minWidth: 0 },
  bar: { display: "flex", flexWrap: "wrap", alignItems: "center", gap: tokens.spacingHorizontalM },
  list: { maxHeight: `min(${HEIGHT}px, 50vh)` },
  row: { height: `${ROW}px`, overflow: "hidden" },
  what: { flexGrow: 1, minWidth: 0, display: "grid", gridTemplateColumns: "minmax(0, 1fr)" },
  line: {
    overflow: "hidden",
    textOverflow: "ellipsis",
    whiteSpace: "nowrap",
    fontWeight: tokens.fontWeightRegular,
    // What was said keeps its lines elsewhere; all rows are equally high.
    "& bdi": { whiteSpace: "nowrap" },
  },
  small: { fontSize: tokens.fontSizeBase200 },
  capture: {
    display: "grid",
    gridTemplateColumns: "minmax(0, 1fr)",
    gap: tokens.spacingVerticalM,
    padding: tokens.spacingHorizontalL,
    borderRadius: tokens.borderRadiusLarge,
    border: `1px solid ${tokens.colorNeutralStroke2}`,
    backgroundColor: tokens.colorNeutralBackground1,
    // The clock of the grant stays above it.
    scrollMarginTop: "6rem",
    ":focus-visible": { outline: `2px solid ${tokens.colorStrokeFocus2}` },
    "@media (max-width: 480px)": { padding: tokens.spacingHorizontalM },
  },
  id: { fontFamily: tokens.fontFamilyMonospace, fontSize: tokens.fontSizeBase200 },
});

/** What was found: a list, and one capture of it in full, with what is said of it. */
export function Results({
  tenantId,
  search,
  verdicts,
  onRefused,
}: {
  tenantId: string;
  search: Search;
  verdicts: readonly string[];
  onRefused: () => void;
}) {
  const styles = useStyles();
  const { desk } = useApp().texts;
  const { found, replace } = search;
  const [open, setOpen] = useState<string | null>(null);
  const labelling = useLabelling(tenantId, replace);
  useRefusal(labelling.outcome?.kind === "failed" ? labelling.outcome.trouble : null, onRefused);
  const at = found.findIndex((each) => keyOf(each) === open);
  const shown = found[at];
  const list = useRef<HTMLDivElement>(null);

  function close(): void {
    setOpen(null);
    list.current?.querySelector<HTMLElement>("[role=listbox]")?.focus();
  }

  function choose(index: number): void {
    const next = found[index];
    if (next) setOpen(keyOf(next));
  }

  return (
    <div className={styles.results}>
      <Status search={search} />
      {search.trouble && <DeskTrouble trouble={search.trouble} retry={search.goOn} />}
      <div ref={list}>
        {found.length > 0 && (
          <LongList
            label={desk.list}
            count={found.length}
            rowHeight={ROW}
            height={HEIGHT}
            heightClass={styles.list}
            rowClass={styles.row}
            keyOf={(index) => (found[index] ? keyOf(found[index]) : "")}
            isOpen={(index) => index === at}
            onChoose={choose}
          >
            {(index) => found[index] && <Row found={found[index]} number={index + 1} labelling={labelling} />}
          </LongList>
        )}
      </div>
      {/* It outlives the capture that it speaks of: one may go on before a label is saved. */}
      <Told labelling={labelling} found={found} />
      {found.length > 0 && !shown && <Text>{desk.choose}</Text>}
      {shown && (
        <Open
          key={keyOf(shown)}
          found={shown}
          at={at}
          count={found.length}
          verdicts={verdicts}
          labelling={labelling}
          onGo={choose}
          onClose={close}
        />
      )}
    </div>
  );
}

/** How far it has come, and what can be done about that. */
function Status({ search }: { search: Search }) {
  const styles = useStyles();
  const { texts, formats } = useApp();
  const { desk } = texts;
  const { ask, found, scanned, matched, cursor, isRunning, trouble } = search;
  if (!ask) return null;
  const gone = formats.number(scanned.captures);
  const batches = formats.number(scanned.batches);
  const shown = formats.number(found.length);
  const words = (): string => {
    if (trouble) return "";
    if (ask.sample) {
      if (isRunning) return desk.sampling(formats.number(matched), gone);
      if (cursor !== null || scanned.batches === 0) return cursor === null ? desk.nothing : desk.stopped(gone);
      return desk.sampled(shown, formats.number(matched), gone, String(ask.sample.seed));
    }
    if (isRunning) return desk.running(gone, batches);
    if (cursor !== null) return desk.found(shown, gone, batches);
    return `${found.length === 0 ? `${desk.nothing} ` : ""}${desk.foundAll(shown, gone, batches)}`;
  };
  return (
    <div className={styles.bar}>
      <Text role="status">
        {words()} {scanned.unreadable > 0 && desk.unreadable(formats.number(scanned.unreadable))}
      </Text>
      {isRunning && (
        <>
          <Spinner size="tiny" aria-label={texts.loading} />
          <Button size="small" onClick={search.stop}>
            {desk.stop}
          </Button>
        </>
      )}
      {!isRunning && !trouble && cursor !== null && (
        <Button size="small" onClick={search.goOn}>
          {desk.goOn}
        </Button>
      )}
    </div>
  );
}

/** One capture in the list: when, of what, how it begins, and whether it is labelled. */
function Row({ found, number, labelling }: { found: Found; number: number; labelling: Labelling }) {
  const styles = useStyles();
  const { texts, formats, person } = useApp();
  const { desk } = texts;
  const own = labelBy(found, person.objectId);
  const at = textOf(found.capture["capturedAt"]);
  return (
    <>
      <span>{formats.number(number)}</span>
      <span className={styles.what}>
        <span className={mergeClasses(styles.line, styles.small)}>
          {Number.isNaN(Date.parse(at)) ? formats.day(found.day) : formats.utc(at)}{" "}
          <Said inline>{beginning(textOf(found.capture["feature"]), 80)}</Said>
        </span>
        <span className={styles.line}>
          <Said inline>{beginning(excerptOf(found.capture), 160)}</Said>
        </span>
      </span>
      {labelling.isUnsaved(found) ? (
        <span className={styles.small}>{desk.unsaved}</span>
      ) : (
        own && <span className={styles.small}>{own.verdict ? desk.labelledByYou(own.verdict) : desk.said}</span>
      )}
    </>
  );
}

/** What became of the label that was changed last. */
function Told({ labelling, found }: { labelling: Labelling; found: readonly Found[] }) {
  const { texts, formats } = useApp();
  const words = texts.desk.label;
  const { outcome } = labelling;
  const number = outcome && formats.number(found.findIndex((each) => keyOf(each) === outcome.key) + 1);
  return (
    <>
      <Text role="status">
        {number !== null && outcome?.kind === "saving" && words.saving(number)}
        {number !== null && outcome?.kind === "saved" && words.saved(number, outcome.verdict ?? words.savedWithout)}
        {number !== null && outcome?.kind === "withdrawn" && words.withdrawn(number)}
        {number !== null && outcome?.kind === "failed" && words.failed(number)}
      </Text>
      {outcome?.kind === "failed" && <TroubleBar trouble={outcome.trouble} retry={outcome.retry} />}
    </>
  );
}

/** A capture in full. Keys work while the focus is in it, so that nobody who types elsewhere labels something. */
function Open(props: {
  found: Found;
  at: number;
  count: number;
  verdicts: readonly string[];
  labelling: Labelling;
  onGo: (index: number) => void;
  onClose: () => void;
}) {
  const styles = useStyles();
  const { texts, formats } = useApp();
  const { desk } = texts;
  const { found, at, count, labelling } = props;
  const place = useRef<HTMLElement>(null);
  const comment = useRef<HTMLTextAreaElement>(null);
  useEffect(() => {
    place.current?.focus();
  }, []);

  function pressed(event: KeyboardEvent): void {
    const act = actOf({ ...keysOf(event), isComposing: event.nativeEvent.isComposing }, isField(event.target));
    if (act === null || event.defaultPrevented) return;
    if (typeof act === "object") {
      const verdict = props.verdicts[act.verdict];
      if (verdict === undefined) return;
      labelling.save(found, { ...labelling.draft(found), verdict });
    }
    event.preventDefault();
    if (act === "next") props.onGo(at + 1);
    if (act === "previous") props.onGo(at - 1);
    if (act === "comment") comment.current?.focus();
    if (act === "leave") place.current?.focus();
    if (act === "close") props.onClose();
  }

  const title = desk.capture(formats.number(at + 1), formats.number(count));
  const capture = captureOf(found.batchId, found.line + 1, found.capture);
  return (
    <article ref={place} className={styles.capture} tabIndex={0} aria-label={title} onKeyDown={pressed}>
      <div className={styles.bar}>
        <Subtitle2 as="h4">{title}</Subtitle2>
        <Button size="small" aria-keyshortcuts="p" disabledFocusable={at === 0} onClick={() => props.onGo(at - 1)}>
          {desk.previous}
        </Button>
        <Button size="small" aria-keyshortcuts="n" disabledFocusable={at === count - 1} onClick={() => props.onGo(at + 1)}>
          {desk.next}
        </Button>
        <Button size="small" aria-keyshortcuts="Escape" onClick={props.onClose}>
          {desk.close}
        </Button>
      </div>
      <Text size={200}>
        {formats.day(found.day)}
        {found.language !== undefined && `. ${desk.language}: ${found.language}`}
        {capture.conversationId !== null && (
          <>
            . {desk.members.conversationId}: <Said inline>{capture.conversationId}</Said>
          </>
        )}
      </Text>
      <CaptureView capture={capture} />
      <LabelPanel found={found} verdicts={props.verdicts} labelling={labelling} comment={comment} />
    </article>
  );
}

const keysOf = ({ key, ctrlKey, altKey, metaKey }: KeyboardEvent) => ({ key, ctrlKey, altKey, metaKey });

const textOf = (value: unknown): string => (typeof value === "string" ? value : "");

/** How what was said begins, in one line. */
function excerptOf(value: Found["capture"]): string {
  const { asked, answered } = captureOf("", 0, value);
  const said = asked.filter(({ role }) => role !== "system").at(-1) ?? answered[0];
  return (said?.parts.find(({ text }) => text)?.text ?? "").slice(0, 400).replace(/\s+/g, " ");
}
