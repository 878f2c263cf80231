/** Removes secrets from addresses and from errors of the runtime, so that messages can show them. */

/** The URL without user name, password, query and fragment, which may be secret. */
export function display(url: string): string {
  return url.replace(/[?#].*$/s, '').replace(/^([a-z][a-z\d+.-]*:\/\/)[^/]*@/i, '$1');
}

/** A text of the runtime with its URLs shortened by `display`, and with every one of `secrets` replaced by `…`. */
export function withoutSecrets(text: string, secrets: readonly string[]): string {
  const hidden = secrets.filter(Boolean).reduce((shown, secret) => shown.replaceAll(secret, '…'), text);
  return hidden.replace(/\b[a-z][a-z\d+.-]*:\/\/[^\s"'<>]+/gi, display);
}
