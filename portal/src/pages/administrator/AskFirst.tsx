import {
  Button,
  Dialog,
  DialogActions,
  DialogBody,
  DialogContent,
  DialogSurface,
  DialogTitle,
  Field,
  ProgressBar,
  Text,
  makeStyles,
  tokens,
} from "@fluentui/react-components";
import type { ReactNode } from "react";
import type { Trouble } from "../../app/api";
import { useApp } from "../../app/context";
import { TroubleBar } from "../../app/TroubleBar";

const useStyles = makeStyles({
  content: { display: "grid", gridTemplateColumns: "minmax(0, 1fr)", gap: tokens.spacingVerticalM },
  meaning: { margin: 0, paddingLeft: tokens.spacingHorizontalXL },
});

/** A dialog that asks once before the setting is changed; it stays open, with what was chosen, if that fails. */
export function AskFirst(props: {
  title: string;
  meaning: readonly string[];
  confirm: string;
  /** What is happening, while it is. */
  saving: string | null;
  trouble: Trouble | null;
  /** What holds now, if somebody else has changed it. */
  meanwhile: string | null;
  ready: boolean;
  act: () => void;
  cancel: () => void;
  children: ReactNode;
}) {
  const styles = useStyles();
  const { texts } = useApp();
  const words = texts.administrator;
  return (
    <Dialog open onOpenChange={(_, { open }) => open || props.saving !== null || props.cancel()}>
      <DialogSurface>
        <form
          onSubmit={(event) => {
            event.preventDefault();
            props.act();
          }}
        >
          <DialogBody>
            <DialogTitle>{props.title}</DialogTitle>
            <DialogContent className={styles.content}>
              <ul className={styles.meaning}>
                {props.meaning.map((each) => (
                  <li key={each}>{each}</li>
                ))}
              </ul>
              {props.children}
              <div role="status">
                {props.saving !== null && (
                  <Field validationMessage={props.saving} validationState="none">
                    <ProgressBar />
                  </Field>
                )}
              </div>
              {props.trouble && <TroubleBar trouble={props.trouble} />}
              {props.meanwhile !== null && <Text>{words.changedMeanwhile(props.meanwhile)}</Text>}
            </DialogContent>
            <DialogActions>
              <Button disabled={props.saving !== null} onClick={props.cancel}>
                {words.cancel}
              </Button>
              <Button type="submit" appearance="primary" disabled={!props.ready || props.saving !== null}>
                {props.confirm}
              </Button>
            </DialogActions>
          </DialogBody>
        </form>
      </DialogSurface>
    </Dialog>
  );
}
