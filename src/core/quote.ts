/** Quotes values in error messages. */
/** Longest text of a quoted value, in characters. */
const MOST = 100;

/** A value as JSON, cut to about 100 characters. A value that JSON cannot write is described instead. */
export function quoted(value: unknown): string {
  let text: string;
  try {
    text =
      (typeof value === 'string' && value.length > MOST ? JSON.stringify(value.slice(0, MOST)) : JSON.stringify(value)) ?? '';
  } catch {
    // The value is nested too deeply, or JSON cannot write it.
    text = '';
  }
  if (!text) return value === undefined ? 'missing' : `a value that JSON cannot write (${typeof value})`;
  const cut = text.length > MOST || (typeof value === 'string' && value.length > MOST);
  return cut ? `${text.slice(0, MOST)}…` : text;
}
