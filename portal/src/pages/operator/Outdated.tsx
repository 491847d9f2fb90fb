import type { Schemas } from "../../app/api";
import { useApp } from "../../app/context";
import { When } from "../../app/When";
import { Listing } from "./Listing";
import { State } from "./looks";
import { Advice, Card, Code, Fact, Facts } from "./parts";
import type { Refreshed } from "./age";

export type OutdatedAgreements = Schemas["OutdatedAgreementsAnswer"];
type OutdatedAgreement = Schemas["OutdatedAgreementAnswer"];

/** The tenants that share data and have not agreed to the notice in force. */
export function Outdated({ list, old }: { list: Refreshed<OutdatedAgreements>; old: boolean }) {
  const { texts, formats } = useApp();
  const { operator } = texts;
  const { data } = list;
  const unreadable = data?.unreadable ?? 0;
  return (
    <Listing
      title={operator.outdated}
      nothing={operator.noOutdated}
      list={{ ...list, data: data?.value ?? null }}
      old={old}
      whole={data?.nextLink === undefined && unreadable === 0}
      note={
        <>
          {unreadable > 0 && <State look="bad">{operator.unreadableSettings(formats.number(unreadable))}</State>}
          {(data?.value.length ?? 0) > 0 && <Advice topic="notice" />}
        </>
      }
      card={(each) => <OutdatedCard key={each.tenantId} agreement={each} />}
    />
  );
}

function OutdatedCard({ agreement }: { agreement: OutdatedAgreement }) {
  const { operator } = useApp().texts;
  const look = agreement.ranOut ? "bad" : "soon";
  return (
    <Card title={`${operator.tenant} ${agreement.tenantId}`} look={look}>
      <State look={look}>{agreement.ranOut ? operator.ranOut : operator.stillCounts}</State>
      <Facts>
        <Fact label={operator.agreedTo}>{agreement.notice ?? operator.agreedToNothing}</Fact>
        <Fact label={operator.countsUntil}>
          {agreement.agreedUntil === null ? operator.notKnown : <When at={agreement.agreedUntil} />}
        </Fact>
        <Fact label={operator.enrollment} wide>
          <Code>{agreement.enrollmentId}</Code>
        </Fact>
      </Facts>
    </Card>
  );
}
