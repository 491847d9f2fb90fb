import { Button, MessageBar, MessageBarBody, Spinner, Text, makeStyles, tokens } from "@fluentui/react-components";
import { useState } from "react";
import { useAction } from "../../app/action";
import { useApp } from "../../app/context";
import { save } from "../../app/save";
import { TroubleBar } from "../../app/TroubleBar";
import type { Check } from "../../ledger/receipts";

const useStyles = makeStyles({
  row: { display: "flex", flexWrap: "wrap", alignItems: "center", gap: tokens.spacingHorizontalS },
  list: { margin: 0, paddingLeft: tokens.spacingHorizontalXL },
});

/** A receipt: it can be downloaded, and is checked here, in the reader's browser. */
export function ReceiptCheck<T>(props: {
  title: string;
  file: string;
  read: () => Promise<T>;
  check: (shown: T) => Promise<Check[]>;
}) {
  const styles = useStyles();
  const { texts } = useApp();
  const words = texts.administrator.receipts;
  const [checks, setChecks] = useState<Check[] | null>(null);
  const { busy, trouble, run } = useAction();
  const withReceipt = (work: (shown: T) => Promise<void> | void) => void run(async () => work(await props.read()));
  const genuine = checks?.every((each) => each.holds) === true;
  return (
    <section aria-label={props.title}>
      <div className={styles.row}>
        <Text>{props.title}</Text>
        <Button
          size="small"
          aria-label={`${words.download}: ${props.title}`}
          onClick={() => withReceipt((shown) => save(props.file, "application/json", JSON.stringify(shown, null, 2)))}
        >
          {words.download}
        </Button>
        <Button
          size="small"
          aria-label={`${words.check}: ${props.title}`}
          onClick={() => withReceipt(async (shown) => setChecks(await props.check(shown)))}
        >
          {words.check}
        </Button>
      </div>
      <div role="status">
        {busy && <Spinner size="tiny" label={words.checking} />}
        {checks && !busy && (
          <MessageBar intent={genuine ? "success" : "error"} layout="multiline">
            <MessageBarBody>
              {genuine ? words.holds : words.fails}
              <ul className={styles.list}>
                {checks.map(({ name, holds }) => (
                  <li key={name}>{words.checks[name][holds ? 0 : 1]}</li>
                ))}
              </ul>
            </MessageBarBody>
          </MessageBar>
        )}
      </div>
      {trouble && <TroubleBar trouble={trouble} />}
    </section>
  );
}
