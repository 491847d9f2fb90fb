import { MessageBar, MessageBarBody, MessageBarTitle, makeStyles, tokens } from "@fluentui/react-components";
import { useApp } from "../../app/context";
import type { BadLine } from "./captures";
import { Paged } from "./Paged";
import { Said } from "./Said";

const useStyles = makeStyles({
  list: { margin: 0, paddingLeft: tokens.spacingHorizontalXL },
  body: { display: "grid", gridTemplateColumns: "minmax(0, 1fr)", gap: tokens.spacingVerticalXS },
});

/** Lines of batches that hold no capture: said, and shown as they are. */
export function BadLines({ lines }: { lines: readonly BadLine[] }) {
  const styles = useStyles();
  const { texts, formats } = useApp();
  if (lines.length === 0) return null;
  return (
    <MessageBar intent="warning" layout="multiline">
      <MessageBarBody className={styles.body}>
        <MessageBarTitle>{texts.reviewer.badLines(lines.length, formats.number(lines.length))}</MessageBarTitle>
        <Paged items={lines} size={20}>
          {(shown) => (
            <ul className={styles.list}>
              {shown.map(({ batchId, line, text }) => (
                <li key={`${batchId} ${line}`}>
                  {texts.reviewer.source(formats.number(line))} <Said inline>{batchId}</Said>
                  <Said>{text}</Said>
                </li>
              ))}
            </ul>
          )}
        </Paged>
      </MessageBarBody>
    </MessageBar>
  );
}
