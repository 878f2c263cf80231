/** Addresses and foreign error texts as messages may show them: without anything that could be secret. */

/** The URL without user name, password, query and fragment, all of which may be secrets. */
export function display(url: string): string {
  return url.replace(/[?#].*$/s, '').replace(/^([a-z][a-z\d+.-]*:\/\/)[^/]*@/i, '$1');
}

/** A text of the runtime in which URLs are shown by `display` and every one of `secrets` is replaced by `…`. */
export function withoutSecrets(text: string, secrets: readonly string[]): string {
  const hidden = secrets.filter(Boolean).reduce((shown, secret) => shown.replaceAll(secret, '…'), text);
  return hidden.replace(/\b[a-z][a-z\d+.-]*:\/\/[^\s"'<>]+/gi, display);
}
