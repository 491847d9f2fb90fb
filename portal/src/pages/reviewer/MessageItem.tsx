import { Text, makeStyles, mergeClasses, tokens } from "@fluentui/react-components";
import { useApp } from "../../app/context";
import type { Message, Part } from "./captures";
import { MemberList } from "./MemberList";
import { Paged } from "./Paged";
import { Said } from "./Said";

const useStyles = makeStyles({
  message: {
    display: "grid",
    gridTemplateColumns: "minmax(0, 1fr)",
    gap: tokens.spacingVerticalXS,
    padding: `${tokens.spacingVerticalS} ${tokens.spacingHorizontalM}`,
    borderLeft: `4px solid ${tokens.colorNeutralStroke1}`,
    borderRadius: tokens.borderRadiusMedium,
    backgroundColor: tokens.colorNeutralBackground3,
  },
  user: { borderLeftColor: tokens.colorPaletteBlueBorderActive, backgroundColor: tokens.colorNeutralBackground1 },
  assistant: { borderLeftColor: tokens.colorPalettePurpleBorderActive },
  tool: { borderLeftColor: tokens.colorPaletteTealBorderActive },
  kind: { color: tokens.colorNeutralForeground2 },
});

/** One message: who speaks, and the parts of what is said. */
export function MessageItem({ message }: { message: Message }) {
  const styles = useStyles();
  const { texts } = useApp();
  const { roles } = texts.reviewer;
  const { role } = message;
  return (
    <li
      className={mergeClasses(
        styles.message,
        role === "user" && styles.user,
        role === "assistant" && styles.assistant,
        role === "tool" && styles.tool,
      )}
    >
      <Text weight="semibold" block>
        {isKnown(roles, role) ? roles[role] : role ? <Said>{role}</Said> : texts.reviewer.noRole}
      </Text>
      <Paged items={message.parts} size={50}>
        {(shown) => shown.map((part, index) => <PartView key={index} part={part} />)}
      </Paged>
      <MemberList members={message.members} />
    </li>
  );
}

function PartView({ part }: { part: Part }) {
  const styles = useStyles();
  const { kinds } = useApp().texts.reviewer;
  return (
    <>
      {part.type !== "text" && part.type !== "" && (
        <Text size={200} className={styles.kind} block>
          {isKnown(kinds, part.type) ? kinds[part.type] : <Said>{part.type}</Said>}
        </Text>
      )}
      {part.text !== null && <Said>{part.text}</Said>}
      <MemberList members={part.members} />
    </>
  );
}

/** A role or a kind may be named like something that every object has. */
function isKnown<T extends object>(names: T, name: string): name is Extract<keyof T, string> {
  return Object.hasOwn(names, name);
}
