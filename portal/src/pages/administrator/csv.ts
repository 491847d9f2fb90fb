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

/** Lets the browser save a text as a file. */
export function save(name: string, type: string, text: string): void {
  const address = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  // Some browsers begin to read only after a while.
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
