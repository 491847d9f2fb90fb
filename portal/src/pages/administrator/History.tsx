import { useApp } from "../../app/context";
import { When } from "../../app/When";
import type { LedgerEvent } from "../../ledger/receipts";
import { historyOf } from "./calls";
import { PagedTable } from "./PagedTable";

/** The ledger: each change of the setting. */
export function History() {
  const { api, person, texts } = useApp();
  const words = texts.administrator.history;
  const who = (event: LedgerEvent) => ("actor" in event ? event.actor : words.service);
  const how = (event: LedgerEvent) => ("channel" in event ? words.channels[event.channel] : "");
  const notice = (event: LedgerEvent) => ("notice" in event && event.notice ? `${event.notice} (${event.locale})` : "");
  const kind = (event: LedgerEvent) =>
    event.kind === "optedOut" && event.stopReview
      ? `${words.kinds.optedOut} · ${words.kinds.reviewStopped}`
      : words.kinds[event.kind];
  return (
    <PagedTable
      title={words.title}
      empty={texts.administrator.empty}
      file={`history-${person.tenantId}.csv`}
      read={historyOf(api, person.tenantId)}
      columns={[
        { title: words.columns.when, cell: (event) => <When at={event.at} />, text: (event) => event.at },
        { title: words.columns.what, cell: kind, text: kind },
        { title: words.columns.who, cell: (event) => <bdi>{who(event)}</bdi>, text: who },
        { title: words.columns.how, cell: how, text: how },
        { title: words.columns.notice, cell: notice, text: notice },
      ]}
    />
  );
}
