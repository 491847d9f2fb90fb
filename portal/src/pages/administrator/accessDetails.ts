import type { Formats } from "../../app/formats";
import type { Messages } from "../../messages/en";
import type { AccessRecord } from "./calls";

/**
 * Says in words what a record has beyond who did what, when and why; nothing of that is content.
 *
 * @param locale the language of the words
 */
export function detailsOf(record: AccessRecord, texts: Messages, formats: Formats, locale: string): string[] {
  const { details } = texts.administrator.access;
  const { members, reasons } = texts.desk;
  const said: string[] = [];
  if (record.firstDay && record.lastDay) said.push(details.days(formats.day(record.firstDay), formats.day(record.lastDay)));
  if (record.batchId) said.push(details.batch(record.batchId));
  // In words lines are counted from 1, as everywhere on these pages.
  if (record.line !== undefined) said.push(details.line(formats.number(record.line + 1)));
  if (record.filteredBy?.length === 0) said.push(details.all);
  if (record.filteredBy && record.filteredBy.length > 0) {
    const names = record.filteredBy.map((each) => nameOf(members, each));
    said.push(details.chosenBy(new Intl.ListFormat(locale, { type: "unit" }).format(names)));
  }
  if (record.captures !== undefined) said.push(details.captures(formats.number(record.captures)));
  if (record.exportId) said.push(details.file(record.exportId));
  if (record.sha256) said.push(details.sha256(record.sha256));
  if (record.firstByte !== undefined && record.lastByte !== undefined) {
    said.push(details.bytes(formats.number(record.firstByte), formats.number(record.lastByte)));
  }
  if (record.reason) said.push(details.reason(nameOf(reasons, record.reason)));
  return said;
}

/** Words that the page does not know are the service's own. */
const nameOf = (words: Readonly<Record<string, string>>, name: string): string =>
  (Object.hasOwn(words, name) ? words[name] : undefined) ?? name;
