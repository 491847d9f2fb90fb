import { makeStyles, tokens } from "@fluentui/react-components";
import { written, type Members } from "./captures";
import { Paged } from "./Paged";
import { Said } from "./Said";

const useStyles = makeStyles({
  list: { margin: 0, display: "grid", gap: tokens.spacingVerticalXS },
  name: { color: tokens.colorNeutralForeground2, fontSize: tokens.fontSizeBase200 },
  value: { margin: 0 },
});

/** Names and values of whatever kind. */
export function MemberList({ members }: { members: Members }) {
  const styles = useStyles();
  if (members.length === 0) return null;
  return (
    <Paged items={members} size={50}>
      {(shown) => (
        <dl className={styles.list}>
          {shown.map(([name, value], index) => (
            <div key={index}>
              <dt className={styles.name}>
                <Said>{name}</Said>
              </dt>
              <dd className={styles.value}>
                <Said>{written(value)}</Said>
              </dd>
            </div>
          ))}
        </dl>
      )}
    </Paged>
  );
}
