/** Returns a member of the query of a link to the next page, so that the page is asked for where this page is served. */
export function queryOf(link: string | undefined, name: string): string | null {
  return link === undefined ? null : new URL(link, "http://localhost").searchParams.get(name);
}
