import { makeStyles, mergeClasses, tokens } from "@fluentui/react-components";
import { useEffect, useId, useLayoutEffect, useRef, useState, type KeyboardEvent, type ReactNode } from "react";
import { rowsInSight } from "./rows";

const useStyles = makeStyles({
  box: {
    overflowY: "auto",
    border: `1px solid ${tokens.colorNeutralStroke1}`,
    borderRadius: tokens.borderRadiusMedium,
    backgroundColor: tokens.colorNeutralBackground1,
    ":focus-visible": { outline: `2px solid ${tokens.colorStrokeFocus2}` },
    // Only with the keyboard there is a row that the next key is about.
    ":focus-visible [data-active=true]": { outline: `2px solid ${tokens.colorStrokeFocus2}`, outlineOffset: "-2px" },
  },
  row: {
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
});

/**
 * A list from which rows are chosen. Only those in sight are in the page, so that ten thousand scroll like ten; and the
 * list is one stop of the Tab key, with the arrow keys (or j and k) inside.
 */
export function LongList({
  label,
  count,
  rowHeight,
  height,
  heightClass,
  rowClass,
  several = false,
  keyOf,
  isOpen,
  onChoose,
  onNearEnd,
  children,
}: {
  label: string;
  count: number;
  /** Of a row, in pixels, which `rowClass` gives it. */
  rowHeight: number;
  /** Of the list at most, in pixels, which `heightClass` gives it. */
  height: number;
  heightClass: string;
  rowClass: string;
  /** Whether several rows can be open at a time. */
  several?: boolean;
  keyOf: (index: number) => string;
  isOpen: (index: number) => boolean;
  onChoose: (index: number) => void;
  /** The last rows have come into sight. */
  onNearEnd?: () => void;
  children: (index: number) => ReactNode;
}) {
  const styles = useStyles();
  const id = useId();
  const [active, setActive] = useState(0);
  const [top, setTop] = useState(0);
  const box = useRef<HTMLDivElement>(null);
  const space = useRef<HTMLDivElement>(null);
  const rows = useRef<HTMLDivElement>(null);
  const [first, last] = rowsInSight(top, height, rowHeight, count);

  // By script, because the content security policy allows no style attributes.
  useLayoutEffect(() => {
    if (space.current) space.current.style.height = `${count * rowHeight}px`;
    if (rows.current) rows.current.style.transform = `translateY(${first * rowHeight}px)`;
  }, [count, rowHeight, first]);

  const isNearEnd = last === count;
  useEffect(() => {
    if (isNearEnd) onNearEnd?.();
  }, [isNearEnd, count, onNearEnd]);

  function go(to: number): void {
    const next = Math.max(0, Math.min(count - 1, to));
    setActive(next);
    const list = box.current;
    if (!list) return;
    const [above, below] = [next * rowHeight, (next + 1) * rowHeight];
    if (above < list.scrollTop) list.scrollTop = above;
    if (below > list.scrollTop + list.clientHeight) list.scrollTop = below - list.clientHeight;
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
      End: count - 1,
    };
    const step = steps[event.key];
    const isChosen = (event.key === "Enter" || event.key === " ") && active < count;
    if (event.ctrlKey || event.metaKey || event.altKey || (step === undefined && !isChosen)) return;
    event.preventDefault();
    if (step !== undefined) go(step);
    if (isChosen) onChoose(active);
  }

  const hasActive = active >= first && active < last;
  return (
    <div
      ref={box}
      className={mergeClasses(styles.box, heightClass)}
      role="listbox"
      tabIndex={0}
      aria-label={label}
      aria-multiselectable={several}
      {...(hasActive && { "aria-activedescendant": `${id}-${active}` })}
      onKeyDown={pressed}
      // In whole rows: between them nothing has to be done.
      onScroll={(event) => setTop(Math.floor(event.currentTarget.scrollTop / rowHeight) * rowHeight)}
    >
      <div ref={space} role="presentation">
        <div ref={rows} role="presentation">
          {Array.from({ length: last - first }, (_, index) => first + index).map((at) => (
            <div
              key={keyOf(at)}
              id={`${id}-${at}`}
              role="option"
              aria-selected={isOpen(at)}
              aria-setsize={count}
              aria-posinset={at + 1}
              data-active={at === active}
              className={mergeClasses(styles.row, rowClass, isOpen(at) && styles.open)}
              onClick={() => {
                setActive(at);
                onChoose(at);
              }}
            >
              {children(at)}
            </div>
          ))}
        </div>
      </div>
    </div>
  );
}
