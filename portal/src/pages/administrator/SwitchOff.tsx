import { Checkbox, Field, Radio, RadioGroup } from "@fluentui/react-components";
import { Trouble } from "../../app/api";
import { useApp } from "../../app/context";
import { useDraft } from "../../app/load";
import { AskFirst } from "./AskFirst";
import { change, expedite, type Setting } from "./calls";
import { useSaving } from "./saving";

/** Asks once, explains both choices, switches sharing off, and tells when everything will be gone. */
export function SwitchOff(props: {
  setting: Setting;
  /** What holds now, in words; null while that is being read. */
  state: string | null;
  reload: () => void;
  done: (told: string) => void;
  cancel: () => void;
}) {
  const { api, person, texts, formats } = useApp();
  const words = texts.administrator;
  const [review, setReview] = useDraft("stopReview", "");
  const [when, setWhen] = useDraft("when", "within");
  const { saving, trouble, run } = useSaving();
  const act = () =>
    void run(words.saving, async (tell) => {
      let owed;
      try {
        const wish = { enabled: false, stopReview: review === "yes" } as const;
        owed = (await change(api, person.tenantId, wish, props.setting.etag)).deletion;
      } catch (error) {
        if (error instanceof Trouble && error.kind === "precondition-failed") props.reload();
        throw error;
      }
      const deadline = owed === null ? null : formats.instant(owed.deadline);
      let told = words.gone(deadline);
      const enrollmentId = owed?.enrollmentId ?? props.setting.value.enrollmentId;
      if (enrollmentId !== null && when === "now") {
        tell(words.hastening);
        // The opt-out stands, whatever comes of this.
        told = await expedite(api, person.tenantId, enrollmentId).then(
          () => words.goneSoon(deadline),
          () => words.notHastened,
        );
      }
      setReview("");
      setWhen("within");
      props.done(told);
    });
  return (
    <AskFirst
      title={words.switchOff.title}
      meaning={words.switchOff.meaning}
      confirm={words.switchOff.confirm}
      saving={saving}
      trouble={trouble}
      meanwhile={trouble?.kind === "precondition-failed" ? props.state : null}
      ready
      act={act}
      cancel={props.cancel}
    >
      <Checkbox
        label={words.switchOff.review}
        checked={review === "yes"}
        onChange={(_, { checked }) => setReview(checked === true ? "yes" : "")}
      />
      <Field label={words.switchOff.deletion}>
        <RadioGroup value={when} onChange={(_, { value }) => setWhen(value)}>
          <Radio value="within" label={words.switchOff.within} />
          <Radio value="now" label={words.switchOff.now} />
        </RadioGroup>
      </Field>
    </AskFirst>
  );
}
