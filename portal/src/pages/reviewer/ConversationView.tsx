import { Subtitle2, Text, makeStyles, tokens } from "@fluentui/react-components";
import { useApp } from "../../app/context";
import { repeated, type Capture, type Conversation, type Members } from "./captures";
import { MemberList } from "./MemberList";
import { MessageItem } from "./MessageItem";
import { Paged } from "./Paged";
import { Said } from "./Said";

const useStyles = makeStyles({
  conversation: {
    display: "grid",
    gridTemplateColumns: "minmax(0, 1fr)",
    gap: tokens.spacingVerticalM,
    padding: tokens.spacingHorizontalL,
    borderRadius: tokens.borderRadiusLarge,
    border: `1px solid ${tokens.colorNeutralStroke2}`,
    backgroundColor: tokens.colorNeutralBackground1,
    // What is out of sight is neither laid out nor painted.
    contentVisibility: "auto",
    containIntrinsicSize: "auto 400px",
    "@media (max-width: 480px)": { padding: tokens.spacingHorizontalM },
  },
  captures: { listStyle: "none", margin: 0, padding: 0, display: "grid", gap: tokens.spacingVerticalXL },
  capture: {
    display: "grid",
    gridTemplateColumns: "minmax(0, 3fr) minmax(0, 1fr)",
    gap: tokens.spacingHorizontalL,
    "@media (max-width: 768px)": { gridTemplateColumns: "minmax(0, 1fr)" },
  },
  said: { display: "grid", gridTemplateColumns: "minmax(0, 1fr)", gap: tokens.spacingVerticalS, alignContent: "start" },
  beside: { display: "grid", gridTemplateColumns: "minmax(0, 1fr)", gap: tokens.spacingVerticalS, alignContent: "start" },
  messages: {
    listStyle: "none",
    margin: 0,
    padding: 0,
    display: "grid",
    gridTemplateColumns: "minmax(0, 1fr)",
    gap: tokens.spacingVerticalS,
  },
  heading: { margin: 0 },
  id: { fontFamily: tokens.fontFamilyMonospace, fontSize: tokens.fontSizeBase200 },
});

/** The captures of one conversation, in order of time. */
export function ConversationView({ conversation, number }: { conversation: Conversation; number: number }) {
  const styles = useStyles();
  const { texts, formats } = useApp();
  const { id, captures } = conversation;
  return (
    <article className={styles.conversation} aria-label={texts.reviewer.conversation(formats.number(number))}>
      <div>
        <Subtitle2 as="h4" className={styles.heading} block>
          {texts.reviewer.conversation(formats.number(number))}
        </Subtitle2>
        {id === null ? (
          <Text size={200}>{texts.reviewer.noConversation}</Text>
        ) : (
          <span className={styles.id}>
            <Said>{id}</Said>
          </span>
        )}
      </div>
      <Paged items={captures} size={20}>
        {(shown) => (
          <ol className={styles.captures}>
            {shown.map((each, index) => (
              <li key={`${each.batchId} ${each.line}`}>
                <CaptureView capture={each} before={captures[index - 1]} />
              </li>
            ))}
          </ol>
        )}
      </Paged>
    </article>
  );
}

/** A capture: what was said, without what the one before it has shown, and what is known about it beside. */
export function CaptureView({ capture, before }: { capture: Capture; before?: Capture | undefined }) {
  const styles = useStyles();
  const { texts, formats } = useApp();
  const known = repeated(capture, before);
  const messages = [...capture.asked.slice(known), ...capture.answered];
  return (
    <div className={styles.capture}>
      <div className={styles.said}>
        <Text as="h5" className={styles.heading} weight="semibold" block>
          <Time at={capture.capturedAt} />
        </Text>
        {known > 0 && (
          <details>
            <summary>{texts.reviewer.repeated(known, formats.number(known))}</summary>
            <MessageList messages={capture.asked.slice(0, known)} />
          </details>
        )}
        <MessageList messages={messages} />
      </div>
      <div className={styles.beside}>
        <Beside title={texts.reviewer.about} members={capture.about} />
        <Beside title={texts.reviewer.telemetry} members={capture.telemetry} />
        <Beside title={texts.reviewer.others} members={capture.others} />
        <Text size={200}>
          {texts.reviewer.source(formats.number(capture.line))}{" "}
          <span className={styles.id}>
            <Said inline>{capture.batchId}</Said>
          </span>
        </Text>
      </div>
    </div>
  );
}

function MessageList({ messages }: { messages: Capture["asked"] }) {
  const styles = useStyles();
  return (
    <Paged items={messages} size={50}>
      {(shown) => (
        <ol className={styles.messages}>
          {shown.map((message, index) => (
            <MessageItem key={index} message={message} />
          ))}
        </ol>
      )}
    </Paged>
  );
}

function Beside({ title, members }: { title: string; members: Members }) {
  if (members.length === 0) return null;
  return (
    <div role="group" aria-label={title}>
      <Text weight="semibold" block>
        {title}
      </Text>
      <MemberList members={members} />
    </div>
  );
}

/** When it was said, to the second and in UTC, as the days are. */
function Time({ at }: { at: string }) {
  const { texts, formats } = useApp();
  if (Number.isNaN(Date.parse(at))) return at ? <Said inline>{at}</Said> : texts.reviewer.noTime;
  return <time dateTime={at}>{formats.utc(at)}</time>;
}
