import { useApp } from "../../app/context";
import { When } from "../../app/When";
import { detailsOf } from "./accessDetails";
import { accessOf, type AccessRecord } from "./calls";
import { PagedTable } from "./PagedTable";

/** The access log: who asked for, approved and looked at what. */
export function AccessLog() {
  const { api, person, texts, formats, locale } = useApp();
  const words = texts.administrator.access;
  // An action to come is shown by the service's own word.
  const what = (record: AccessRecord) => (words.actions as Partial<Record<string, string>>)[record.action] ?? record.action;
  const details = (record: AccessRecord) => detailsOf(record, texts, formats, locale).join(" ");
  return (
    <PagedTable
      title={words.title}
      empty={words.empty}
      file={`access-log-${person.tenantId}.csv`}
      read={accessOf(api, person.tenantId)}
      columns={[
        { title: words.columns.when, cell: (record) => <When at={record.at} />, text: (record) => record.at },
        { title: words.columns.who, cell: (record) => <bdi>{record.actor}</bdi>, text: (record) => record.actor },
        { title: words.columns.what, cell: what, text: what },
        { title: words.columns.purpose, cell: (record) => <bdi>{record.purpose}</bdi>, text: (record) => record.purpose },
        {
          title: words.columns.why,
          cell: (record) => <bdi>{record.justification ?? ""}</bdi>,
          text: (record) => record.justification ?? "",
        },
        {
          title: words.columns.day,
          cell: (record) => (record.day ? formats.day(record.day) : ""),
          text: (record) => record.day ?? "",
        },
        {
          title: words.columns.details,
          cell: (record) => (
            <>
              <bdi>{details(record)}</bdi>
              {record.opened && record.opened.length > 0 && (
                <details>
                  <summary>{words.details.opened(formats.number(record.opened.length))}</summary>
                  {record.opened.join(", ")}
                </details>
              )}
            </>
          ),
          text: (record) => [details(record), ...(record.opened ?? [])].filter(Boolean).join(" "),
        },
      ]}
    />
  );
}
