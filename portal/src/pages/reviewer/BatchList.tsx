import { makeStyles, tokens } from "@fluentui/react-components";
import { useApp } from "../../app/context";
import { LongList } from "./LongList";

const ROW = 36;
const HEIGHT = 12 * ROW;

const useStyles = makeStyles({
  box: { maxHeight: `min(${HEIGHT}px, 50vh)` },
  row: { height: `${ROW}px` },
  id: {
    flexGrow: 1,
    fontFamily: tokens.fontFamilyMonospace,
    fontSize: tokens.fontSizeBase200,
    overflow: "hidden",
    textOverflow: "ellipsis",
    whiteSpace: "nowrap",
  },
});

/** The batches of a day. */
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
  const idOf = (index: number): string => ids[index] ?? "";
  return (
    <LongList
      label={texts.reviewer.batches}
      count={ids.length}
      rowHeight={ROW}
      height={HEIGHT}
      heightClass={styles.box}
      rowClass={styles.row}
      several
      keyOf={idOf}
      isOpen={(index) => open.has(idOf(index))}
      onChoose={(index) => onChoose(idOf(index))}
      onNearEnd={onNearEnd}
    >
      {(index) => (
        <>
          <span>{formats.number(index + 1)}</span>
          <span className={styles.id}>{idOf(index)}</span>
          {open.has(idOf(index)) && <span>{texts.reviewer.shown}</span>}
        </>
      )}
    </LongList>
  );
}
