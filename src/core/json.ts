/** Parsing of JSON files. */

/** The text without the byte order mark that some editors write at its beginning. */
export const withoutBom = (text: string): string => text.replace(/^\uFEFF/, '');

/** Parses the text of a JSON file. Throws SyntaxError like JSON.parse. */
export const parseJson = (text: string): unknown => JSON.parse(withoutBom(text));

/** The bytes of a JSON file. */
export const jsonFile = (value: unknown) => new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`);
