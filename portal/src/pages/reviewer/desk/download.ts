/** So many bytes are asked for at a time; the service gives 8 MiB at most. */
export const PART = 4 * 1024 * 1024;

/**
 * Returns a file of which each part is asked for by itself.
 *
 * Throws if a part has nothing, or more than was asked for.
 *
 * @param size the file's, in bytes
 * @param read returns the bytes from the first to the last one, or at least the first of them
 * @param tell is told how many bytes there are
 */
export async function assembled(
  size: number,
  read: (first: number, last: number) => Promise<ArrayBuffer>,
  tell: (got: number) => void,
): Promise<Uint8Array<ArrayBuffer>> {
  const file = new Uint8Array(size);
  for (let got = 0; got < size; ) {
    const last = Math.min(got + PART, size) - 1;
    const part = new Uint8Array(await read(got, last));
    if (part.length === 0 || part.length > last - got + 1) throw new Error("This is not the part that was asked for.");
    file.set(part, got);
    got += part.length;
    tell(got);
  }
  return file;
}
