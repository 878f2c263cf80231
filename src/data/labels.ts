/**
 * Labels of pictures from a table: each line has the name of a file and that of its class, separated by commas (RFC 4180), semicolons or
 * tabs.
 */
import { openSource } from '../checkpoint/source.js';
import { IoError } from '../core/errors.js';
import { shown } from '../core/options.js';
import { folderPath } from './folder.js';

/** A table as `openData` takes it: a path (Node, Deno) or URL, a File, or the bytes. */
export type LabelSource = string | URL | Blob | Uint8Array;

/** The lines of a table. */
export interface Labels {
  /** Path or name of the table, for messages. */
  name: string;
  /** The class of each file, by its path relative to the folder of pictures; '' where it has none. */
  classes: Map<string, string>;
}

/** More than the names of a million pictures. */
const MAX_BYTES = 2 ** 28;

/** Names of columns in a first line that is no picture's. */
const FILE = /^(file|file_?name|image|img|picture|path|name|id)$/i;
const LABEL = /^(label|class|class_?name|category)$/i;

/** Reads a table. Throws IoError for one that cannot be read, that has no second column, or that gives a file two classes. */
export async function readLabels(source: LabelSource, signal?: AbortSignal): Promise<Labels> {
  const file = await openSource(source, { signal });
  let text: string;
  try {
    if (file.size > MAX_BYTES) throw new IoError(`${file.name} is too large for a table of labels; pass one of at most 256 MiB.`);
    text = new TextDecoder().decode(await file.read(0, file.size, signal));
    await file.finish?.();
  } finally {
    await file.close();
  }
  return parseLabels(text, file.name);
}

/** @param name That of the table, for messages. */
export function parseLabels(text: string, name: string): Labels {
  const [first, ...others] = records(text, name);
  const found: Labels = { name, classes: new Map() };
  if (!first) throw new IoError(`${name} is empty; write one line \`file,label\` for each picture.`);
  const [file, label] = [FILE, LABEL].map((names) => first.fields.findIndex((field) => names.test(field.trim())));
  const header = file! >= 0 && label! >= 0;
  const at = header ? { file: file!, label: label! } : { file: 0, label: 1 };
  for (const { fields, line } of header ? others : [first, ...others]) {
    if (fields.length <= Math.max(at.file, at.label))
      throw new IoError(
        `${name}, line ${line}: ${JSON.stringify(fields.join().slice(0, 80))} has no label; write \`file,label\`.`,
      );
    const path = folderPath(fields[at.file]!.trim());
    const to = fields[at.label]!.trim();
    const before = found.classes.get(path);
    if (path === '') throw new IoError(`${name}, line ${line}: the class ${to} has no file; write \`file,label\`.`);
    if (before !== undefined && before !== to)
      throw new IoError(
        `${name}, line ${line}: ${path} is ${shown(to)}, and ${shown(before)} in a line before; leave one of them out.`,
      );
    found.classes.set(path, to);
  }
  return found;
}

/** The fields of each line that is not empty. They are separated by what the first line has: commas, else semicolons, or tabs. */
function* records(text: string, name: string): Generator<{ fields: string[]; line: number }> {
  const start = /^[^\r\n]*/.exec(text)![0];
  const separator = start.includes('\t') ? '\t' : start.includes(';') && !start.includes(',') ? ';' : ',';
  const plain = new RegExp(`[^${separator}\\r\\n]*`, 'y');
  const ending = /\r\n|\r|\n|$/y;
  for (let at = 0, line = 1; at < text.length; line++) {
    const [from, fields] = [line, [] as string[]];
    for (;;) {
      const end = text[at] === '"' ? closing(at) : undefined;
      plain.lastIndex = at;
      const field = end === undefined ? plain.exec(text)![0] : text.slice(at + 1, end);
      fields.push(end === undefined ? field : field.replaceAll('""', '"'));
      line += field.split('\n').length - 1;
      at = end === undefined ? at + field.length : end + 1;
      if (text[at] !== separator) break;
      at++;
    }
    ending.lastIndex = at;
    const end = ending.exec(text)?.[0];
    if (end === undefined) throw unclosed(from);
    at += end.length;
    if (fields.some((field) => field.trim() !== '')) yield { fields, line: from };

    function closing(open: number): number {
      let quote = text.indexOf('"', open + 1);
      while (text[quote + 1] === '"' && quote >= 0) quote = text.indexOf('"', quote + 2);
      if (quote < 0) throw unclosed(from);
      return quote;
    }
  }

  function unclosed(line: number): IoError {
    return new IoError(`${name}, line ${line}: the quotes of a field do not close at its end; correct them.`);
  }
}
