/** JSON with comments (// and block comments) and commas before a closing bracket, as editors know it by the name of JSONC. */

const STRING = '"(?:\\\\.|[^"\\\\])*"';
const COMMENT = new RegExp(`${STRING}|//[^\\n]*|/\\*[\\s\\S]*?\\*/`, 'g');
const LAST_COMMA = new RegExp(`${STRING}|,(?=\\s*[}\\]])`, 'g');

/** Throws SyntaxError like JSON.parse. Positions in its message are those of the text. */
export function parseJsonc(text: string): unknown {
  const blank = (part: string) => (part.startsWith('"') ? part : part.replace(/[^\n]/g, ' '));
  return JSON.parse(
    text
      .replace(/^\uFEFF/, '')
      .replace(COMMENT, blank)
      .replace(LAST_COMMA, blank),
  );
}
