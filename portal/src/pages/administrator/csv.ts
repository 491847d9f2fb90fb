/**
 * Rows as comma-separated values (RFC 4180). A cell that a spreadsheet would take for a formula begins with an
 * apostrophe: what stands in it was written by other people.
 */
export function csvOf(rows: readonly (readonly (string | number | undefined)[])[]): string {
  return rows.map((row) => `${row.map((each) => cell(String(each ?? ""))).join(",")}\r\n`).join("");
}

function cell(text: string): string {
  const plain = /^(\s*[=+\-@＝＋－＠]|[\t\r])/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
}
