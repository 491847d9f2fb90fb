import { Text } from "@fluentui/react-components";
import { useApp } from "../../app/context";
import { Advice, Card, Cards, Section } from "./parts";
import { topicOfFinding } from "./runbook";
import type { Status } from "./status";

/** What the sweeps have ever found. It is history, so it is not red. */
export function Findings({ status }: { status: Status }) {
  const { texts, formats } = useApp();
  const { operator } = texts;
  const found = Object.entries(status.findings);
  return (
    <Section title={operator.findings}>
      <Text>{found.length === 0 ? operator.noFindings : operator.findingsNote}</Text>
      {found.length > 0 && (
        <Cards label={operator.findings}>
          {found.map(([kind, count]) => (
            <Card key={kind} title={`${kind}: ${formats.number(count)}`} look="plain">
              <Advice topic={topicOfFinding(kind)} />
            </Card>
          ))}
        </Cards>
      )}
    </Section>
  );
}
