import { makeStyles, mergeClasses, tokens } from "@fluentui/react-components";
import { useEffect, useLayoutEffect, useRef, useState, type KeyboardEvent } from "react";
import { useApp } from "../../app/context";
import { rowsInSight } from "./rows";

const ROW = 36;
const HEIGHT = 12 * ROW;

const useStyles = makeStyles({
  box: {
    maxHeight: `min(${HEIGHT}px, 50vh)`,
    overflowY: "auto",
    border: `1px solid ${tokens.colorNeutralStroke1}`,
    borderRadius: tokens.borderRadiusMedium,
    backgroundColor: tokens.colorNeutralBackground1,
    ":focus-visible": { outline: `2px solid ${tokens.colorStrokeFocus2}` },
    // Only with the keyboard there is a row that the next key is about.
    ":focus-visible [data-active=true]": { outline: `2px solid ${tokens.colorStrokeFocus2}`, outlineOffset: "-2px" },
  },
  row: {
    height: `${ROW}px`,
    boxSizing: "border-box",
    display: "flex",
    alignItems: "center",
    gap: tokens.spacingHorizontalS,
    padding: `0 ${tokens.spacingHorizontalM}`,
    cursor: "pointer",
    borderBottom: `1px solid ${tokens.colorNeutralStroke3}`,
    ":hover": { backgroundColor: tokens.colorNeutralBackground1Hover },
  },
  open: { backgroundColor: tokens.colorBrandBackground2, fontWeight: tokens.fontWeightSemibold },
  id: {
    flexGrow: 1,
    fontFamily: tokens.fontFamilyMonospace,
    fontSize: tokens.fontSizeBase200,
    overflow: "hidden",
    textOverflow: "ellipsis",
    whiteSpace: "nowrap",
  },
});

/**
 * The batches of a day. Only the rows in sight are in the page, so that ten thousand scroll like ten; and the list is one
 * stop of the Tab key, with the arrow keys (or j and k) inside.
 */
export function BatchList({
  ids,
  open,
  onChoose,
  onNearEnd,
}: {
  ids: readonly string[];
  /** Which of them are shown. */
  open: ReadonlyMap<string, unknown>;
  onChoose: (id: string) => void;
  /** The last rows have come into sight. */
  onNearEnd: () => void;
}) {
  const styles = useStyles();
  const { texts, formats } = useApp();
  const [active, setActive] = useState(0);
  const [top, setTop] = useState(0);
  const box = useRef<HTMLDivElement>(null);
  const space = useRef<HTMLDivElement>(null);
  const rows = useRef<HTMLDivElement>(null);
  const [first, last] = rowsInSight(top, HEIGHT, ROW, ids.length);

  // By script, because the content security policy allows no style attributes.
  useLayoutEffect(() => {
    if (space.current) space.current.style.height = `${ids.length * ROW}px`;
    if (rows.current) rows.current.style.transform = `translateY(${first * ROW}px)`;
  }, [ids.length, first]);

  const isNearEnd = last === ids.length;
  useEffect(() => {
    if (isNearEnd) onNearEnd();
  }, [isNearEnd, ids.length, onNearEnd]);

  function go(to: number): void {
    const next = Math.max(0, Math.min(ids.length - 1, to));
    setActive(next);
    const list = box.current;
    if (!list) return;
    if (next * ROW < list.scrollTop) list.scrollTop = next * ROW;
    if ((next + 1) * ROW > list.scrollTop + list.clientHeight) list.scrollTop = (next + 1) * ROW - list.clientHeight;
  }

  function pressed(event: KeyboardEvent): void {
    const steps: Record<string, number> = {
      ArrowDown: active + 1,
      j: active + 1,
      ArrowUp: active - 1,
      k: active - 1,
      PageDown: active + 10,
      PageUp: active - 10,
      Home: 0,
      End: ids.length - 1,
    };
    const step = steps[event.key];
    const chosen = event.key === "Enter" || event.key === " " ? ids[active] : undefined;
    if (event.ctrlKey || event.metaKey || event.altKey || (step === undefined && chosen === undefined)) return;
    event.preventDefault();
    if (step !== undefined) go(step);
    if (chosen !== undefined) onChoose(chosen);
  }

  const hasActive = active >= first && active < last;
  return (
    <div
      ref={box}
      className={styles.box}
      role="listbox"
      tabIndex={0}
      aria-label={texts.reviewer.batches}
      aria-multiselectable
      {...(hasActive && { "aria-activedescendant": `batch-${active}` })}
      onKeyDown={pressed}
      // In whole rows: between them nothing has to be done.
      onScroll={(event) => setTop(Math.floor(event.currentTarget.scrollTop / ROW) * ROW)}
    >
      <div ref={space} role="presentation">
        <div ref={rows} role="presentation">
          {ids.slice(first, last).map((id, index) => {
            const at = first + index;
            const isOpen = open.has(id);
            return (
              <div
                key={id}
                id={`batch-${at}`}
                role="option"
                aria-selected={isOpen}
                aria-setsize={ids.length}
                aria-posinset={at + 1}
                data-active={at === active}
                className={mergeClasses(styles.row, isOpen && styles.open)}
                onClick={() => {
                  setActive(at);
                  onChoose(id);
                }}
              >
                <span>{formats.number(at + 1)}</span>
                <span className={styles.id}>{id}</span>
                {isOpen && <span>{texts.reviewer.shown}</span>}
              </div>
            );
          })}
        </div>
      </div>
    </div>
  );
}
