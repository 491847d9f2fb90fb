/** Which rows of a long list are in sight, when all are equally high: [first, after the last), with some on either side. */
export function rowsInSight(top: number, height: number, rowHeight: number, count: number): readonly [number, number] {
  const spare = 10;
  const first = Math.max(0, Math.floor(top / rowHeight) - spare);
  const last = Math.min(count, Math.ceil((top + height) / rowHeight) + spare);
  return [Math.min(first, last), last];
}
