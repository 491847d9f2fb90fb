import {
  Button,
  Field,
  Input,
  MessageBar,
  MessageBarBody,
  Radio,
  RadioGroup,
  Text,
  Textarea,
  makeStyles,
  tokens,
} from "@fluentui/react-components";
import { useEffect, useRef, useState } from "react";
import { Trouble, answered } from "../../app/api";
import { useApp } from "../../app/context";
import { useDraft } from "../../app/load";
import { TroubleBar } from "../../app/TroubleBar";
import { JUSTIFICATION_MAX, MINUTES_MAX, PURPOSES, VISIBLE_MIN, characters, requestOf, type Faults } from "./ask";

const useStyles = makeStyles({
  form: { display: "grid", gridTemplateColumns: "minmax(0, 1fr)", gap: tokens.spacingVerticalL, maxWidth: "40rem" },
  short: { maxWidth: "12rem" },
  button: { justifySelf: "start" },
});

/** Asks for a grant. What was typed outlives a step-up and a reload; the purpose is always chosen anew by a person. */
export function AskForm({ tenantId, onAsked }: { tenantId: string; onAsked: () => void }) {
  const styles = useStyles();
  const { api, texts, formats } = useApp();
  const { ask, purposes } = texts.reviewer;
  const [purpose, setPurpose] = useDraft(`reviewer.${tenantId}.purpose`, "");
  const [justification, setJustification] = useDraft(`reviewer.${tenantId}.justification`, "");
  const [minutes, setMinutes] = useDraft(`reviewer.${tenantId}.minutes`, "60");
  const [enrollmentId, setEnrollmentId] = useDraft(`reviewer.${tenantId}.enrollment`, "");
  const [faults, setFaults] = useState<Faults>({});
  const [state, setState] = useState<"idle" | "busy" | "asked" | Trouble>("idle");
  const form = useRef<HTMLFormElement>(null);

  // Whoever cannot see the messages gets to the first field that is wrong.
  useEffect(() => {
    if (Object.keys(faults).length > 0) {
      form.current?.querySelector<HTMLElement>("[aria-invalid=true] input, input[aria-invalid=true], textarea[aria-invalid=true]")?.focus();
    }
  }, [faults]);

  async function send(): Promise<void> {
    const request = requestOf({ purpose, justification, minutes, enrollmentId });
    setFaults("faults" in request ? request.faults : {});
    setState("idle");
    if ("faults" in request) return;
    setState("busy");
    try {
      await answered(
        api.POST("/tenants/{tenantId}/review-grants", { params: { path: { tenantId } }, body: request.body }),
      );
      setState("asked");
      setJustification("");
      onAsked();
    } catch (error) {
      setState(Trouble.from(error));
    }
  }

  return (
    <form
      ref={form}
      className={styles.form}
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        if (state !== "busy") void send();
      }}
    >
      <Field
        label={ask.purpose}
        required
        hint={ask.notForTraining}
        {...(faults.purpose && { validationMessage: ask.noPurpose })}
      >
        <RadioGroup value={purpose} onChange={(_, { value }) => setPurpose(value)}>
          {PURPOSES.map((each) => (
            <Radio key={each} value={each} label={purposes[each].join(": ")} />
          ))}
        </RadioGroup>
      </Field>
      <Field
        label={ask.justification}
        required
        hint={`${ask.justificationHint} ${ask.used(formats.number(characters(justification)), formats.number(JUSTIFICATION_MAX))}`}
        {...(faults.justification && {
          validationMessage:
            faults.justification === "short"
              ? ask.tooShort(formats.number(VISIBLE_MIN))
              : ask.tooLong(formats.number(JUSTIFICATION_MAX)),
        })}
      >
        <Textarea rows={4} resize="vertical" value={justification} onChange={(_, { value }) => setJustification(value)} />
      </Field>
      <Field
        label={ask.minutes}
        required
        hint={ask.minutesHint(formats.number(MINUTES_MAX))}
        {...(faults.minutes && { validationMessage: ask.minutesWrong(formats.number(MINUTES_MAX)) })}
      >
        <Input
          className={styles.short}
          inputMode="numeric"
          autoComplete="off"
          value={minutes}
          onChange={(_, { value }) => setMinutes(value)}
        />
      </Field>
      <Field
        label={ask.enrollment}
        hint={ask.enrollmentHint}
        {...(faults.enrollmentId && { validationMessage: ask.enrollmentWrong })}
      >
        <Input
          autoComplete="off"
          spellCheck={false}
          value={enrollmentId}
          onChange={(_, { value }) => setEnrollmentId(value)}
        />
      </Field>
      <Button className={styles.button} type="submit" appearance="primary" disabledFocusable={state === "busy"}>
        {ask.send}
      </Button>
      <div role="status">{state === "asked" && <Text>{ask.asked}</Text>}</div>
      {state instanceof Trouble &&
        (state.kind === "not-found" ? (
          <MessageBar intent="warning" layout="multiline">
            <MessageBarBody>{ask.nothingToRead}</MessageBarBody>
          </MessageBar>
        ) : (
          <TroubleBar trouble={state} retry={() => void send()} />
        ))}
    </form>
  );
}
