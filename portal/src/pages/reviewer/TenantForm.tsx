import { Button, Field, Input, makeStyles, tokens } from "@fluentui/react-components";
import { useState } from "react";
import { useApp } from "../../app/context";
import { useDraft } from "../../app/load";
import { to } from "../../app/route";
import { tenantIdOf } from "./ask";

const useStyles = makeStyles({
  form: { display: "grid", gridTemplateColumns: "minmax(0, 1fr)", gap: tokens.spacingVerticalM, maxWidth: "32rem" },
  button: { justifySelf: "start" },
});

/** Asks whose captures it is about, and goes to that tenant's page. */
export function TenantForm({ page }: { page: "reviewer" | "approver" }) {
  const styles = useStyles();
  const { tenant } = useApp().texts.reviewer;
  const [text, setText] = useDraft(`${page}.tenant`, "");
  const [isWrong, setWrong] = useState(false);
  return (
    <form
      className={styles.form}
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        const id = tenantIdOf(text);
        setWrong(id === null);
        if (id !== null) location.hash = to(page, id);
      }}
    >
      <Field label={tenant.label} hint={tenant.hint} validationMessage={isWrong ? tenant.wrong : null}>
        <Input value={text} onChange={(_, { value }) => setText(value)} autoComplete="off" spellCheck={false} />
      </Field>
      <Button className={styles.button} type="submit">
        {tenant.open}
      </Button>
    </form>
  );
}
