import { Checkbox, Field, Select, Spinner, makeStyles, tokens } from "@fluentui/react-components";
import { answered, Trouble, type Schemas } from "../../app/api";
import { useApp } from "../../app/context";
import { useDraft, useLoaded, type Loaded } from "../../app/load";
import { TroubleBar } from "../../app/TroubleBar";
import { AskFirst } from "./AskFirst";
import { change, type Setting } from "./calls";
import { geoName } from "./geo";
import { useSaving } from "./saving";

const useStyles = makeStyles({
  notice: {
    maxHeight: "14rem",
    overflowY: "auto",
    whiteSpace: "pre-wrap",
    overflowWrap: "anywhere",
    padding: tokens.spacingHorizontalM,
    border: `1px solid ${tokens.colorNeutralStroke1}`,
  },
});

/** Asks for the geo and the agreement to the notice in force, then switches sharing on, or renews the agreement. */
export function SwitchOn(props: {
  setting: Setting;
  /** What holds now, in words; null while that is being read. */
  state: string | null;
  notices: Loaded<Schemas["NoticeAnswer"][]>;
  reload: () => void;
  done: (told: string) => void;
  cancel: () => void;
}) {
  const styles = useStyles();
  const { api, person, texts, locale } = useApp();
  const words = texts.administrator;
  const { value: now, etag } = props.setting;
  const notice = props.notices.data?.find((each) => each.inForce);
  const shownIn = notice?.texts.find((each) => each.locale === locale)?.locale ?? notice?.texts[0]?.locale ?? "en";
  const text = useLoaded(`notice ${notice?.version} ${shownIn}`, async () =>
    notice === undefined ? null : noticeText(api, notice.version, shownIn),
  );
  const geos = useLoaded("geos", async () =>
    (await answered(api.GET("/geos"))).value.filter((each) => each.served).map((each) => each.geo),
  );
  const [geoDraft, setGeo] = useDraft("geo", "");
  const [agreed, setAgreed] = useDraft("agreed", "");
  const agreement = `${notice?.version} ${shownIn}`;
  const geo = now.enabled ? (now.geo ?? "") : geoDraft || geos.data?.[0] || "";
  const { saving, trouble, run } = useSaving();
  const act = () =>
    void run(words.saving, async () => {
      if (notice === undefined) return;
      try {
        await change(api, person.tenantId, { enabled: true, geo, notice: notice.version, locale: shownIn }, etag);
      } catch (error) {
        if (error instanceof Trouble && error.kind === "precondition-failed") props.reload();
        if (error instanceof Trouble && error.kind.startsWith("notice-")) props.notices.reload();
        throw error;
      }
      setAgreed("");
      props.done(words.saved);
    });
  const unread = props.notices.trouble ?? text.trouble ?? geos.trouble;
  return (
    <AskFirst
      title={words.switchOn.title}
      meaning={words.switchOn.meaning}
      confirm={now.enabled ? words.switchOn.renew : words.switchOn.confirm}
      saving={saving}
      trouble={trouble}
      meanwhile={trouble?.kind === "precondition-failed" ? props.state : null}
      ready={agreed === agreement && text.data !== null && geo !== ""}
      act={act}
      cancel={props.cancel}
    >
      {unread && (
        <TroubleBar
          trouble={unread}
          retry={() => {
            props.notices.reload();
            text.reload();
            geos.reload();
          }}
        />
      )}
      <Field label={words.switchOn.geo}>
        <Select value={geo} disabled={now.enabled} onChange={(_, { value }) => setGeo(value)}>
          {[...new Set([...(geos.data ?? []), ...(geo ? [geo] : [])])].map((each) => (
            <option key={each} value={each}>
              {geoName(each, locale, words)}
            </option>
          ))}
        </Select>
      </Field>
      {text.loading && <Spinner size="tiny" label={texts.loading} />}
      {text.data !== null && notice && (
        <>
          <div
            className={styles.notice}
            role="region"
            aria-label={words.switchOn.notice(notice.version)}
            lang={shownIn}
            tabIndex={0}
          >
            {text.data}
          </div>
          <Checkbox
            label={words.switchOn.agree}
            checked={agreed === agreement}
            onChange={(_, { checked }) => setAgreed(checked === true ? agreement : "")}
          />
        </>
      )}
    </AskFirst>
  );
}

/** The notice as people read it: its Markdown is simple enough to be read as it is, but for the signs of headings. */
async function noticeText(api: ReturnType<typeof useApp>["api"], version: string, locale: string): Promise<string> {
  const markdown = await answered(
    api.GET("/notices/{version}", { params: { path: { version }, query: { locale } }, parseAs: "text" }),
  );
  return markdown.replace(/^#+ /gm, "");
}
