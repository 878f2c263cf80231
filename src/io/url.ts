/** The URL as messages show it: without the query, which may hold a token. */
export function display(url: string): string {
  const q = url.search(/[?#]/);
  return q < 0 ? url : url.slice(0, q);
}
