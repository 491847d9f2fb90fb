import { Button, Spinner, Text, Title3, makeStyles, tokens } from "@fluentui/react-components";
import { useState, type ReactNode } from "react";
import { Trouble } from "../../app/api";
import { useApp } from "../../app/context";
import { useLoaded } from "../../app/load";
import { save } from "../../app/save";
import { TroubleBar } from "../../app/TroubleBar";
import { all, beforeOf, type Page } from "./calls";
import { csvOf } from "./csv";

const useStyles = makeStyles({
  scroll: { overflowX: "auto" },
  table: {
    borderCollapse: "collapse",
    width: "100%",
    "& th, & td": {
      textAlign: "start",
      verticalAlign: "top",
      padding: tokens.spacingHorizontalS,
      borderBottom: `1px solid ${tokens.colorNeutralStroke2}`,
      overflowWrap: "anywhere",
      minWidth: "6rem",
    },
  },
  row: { display: "flex", flexWrap: "wrap", gap: tokens.spacingHorizontalM, marginTop: tokens.spacingVerticalM },
});

interface Column<T> {
  title: string;
  cell: (row: T) => ReactNode;
  /** The same as a text, for the file. */
  text: (row: T) => string;
}

/** A list of the tenant, page by page, and all of it as a file. */
export function PagedTable<T extends { sequence: number }>(props: {
  title: string;
  empty: string;
  file: string;
  read: (before: number | undefined) => Promise<Page<T>>;
  columns: readonly Column<T>[];
}) {
  const styles = useStyles();
  const { texts, formats } = useApp();
  const words = texts.administrator;
  const { read } = props;
  const first = useLoaded(props.file, () => read(undefined));
  const [further, setFurther] = useState<readonly Page<T>[]>([]);
  const [busy, setBusy] = useState(false);
  const [failed, setFailed] = useState<{ trouble: Trouble; retry: () => void } | null>(null);
  const pages = first.data ? [first.data, ...further] : [];
  const rows = pages.flatMap((page) => page.value);
  const unreadable = pages.reduce((count, page) => count + (page.unreadable ?? 0), 0);
  const last = pages.at(-1);
  const next = last && beforeOf(last);
  const run = (work: () => Promise<void>) => {
    setBusy(true);
    setFailed(null);
    work()
      .catch((error: unknown) => {
        const trouble = Trouble.from(error);
        setFailed({ trouble, retry: () => run(work) });
      })
      .finally(() => setBusy(false));
  };
  const more = () =>
    run(async () => {
      const page = await read(next);
      setFurther((shown) => [...shown, page]);
    });
  const download = () =>
    run(async () => {
      const head = props.columns.map(({ title }) => title);
      const lines = (await all(read)).map((row) => props.columns.map(({ text }) => text(row)));
      // Excel reads a file as UTF-8 only if it says so.
      save(props.file, "text/csv", `\ufeff${csvOf([head, ...lines])}`);
    });

  return (
    <div>
      <Title3 as="h3">{props.title}</Title3>
      {first.trouble && <TroubleBar trouble={first.trouble} retry={first.reload} />}
      {failed && <TroubleBar trouble={failed.trouble} retry={failed.retry} />}
      {rows.length > 0 && (
        <div className={styles.scroll} role="region" aria-label={props.title} tabIndex={0}>
          <table className={styles.table}>
            <thead>
              <tr>
                {props.columns.map(({ title }) => (
                  <th key={title} scope="col">
                    {title}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {rows.map((row) => (
                <tr key={row.sequence}>
                  {props.columns.map(({ title, cell }) => (
                    <td key={title}>{cell(row)}</td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {(busy || first.loading) && <Spinner size="tiny" label={texts.loading} />}
      {first.data && rows.length === 0 && <Text block>{props.empty}</Text>}
      {unreadable > 0 && <Text block>{words.unreadable(formats.number(unreadable))}</Text>}
      <div className={styles.row}>
        {next !== undefined && (
          <Button disabled={busy} onClick={more}>
            {texts.more}
          </Button>
        )}
        {rows.length > 0 && (
          <Button disabled={busy} onClick={download}>
            {words.csv}
          </Button>
        )}
      </div>
    </div>
  );
}
