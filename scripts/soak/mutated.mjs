/**
 * Damaged files of one format. Reading each must end in a result or a typed error, within 5 s, while the process grows by at most
 * 300 MB more than the file. A round reads its files in processes of their own, so that their memory is their own and a hang can be
 * ended. What the damage of a file is depends on the round's seed and the file's number alone.
 *
 * A format is `{ name, url, files, share, bases(library), damage?(tools, base, library), read(library, bytes, bases) }`: `url` is that
 * of its module, `bases` gives sound files, `damage` a damaged copy of one (default: `damaged`), and `read` reads it and may return a
 * text that says what is wrong with the result.
 */
import { availableParallelism } from 'node:os';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { childLines, isTyped, tools } from './context.mjs';

const SLOW = 5000; // ms
const GROWTH = 300 * 2 ** 20;
/** Files of a process between two signs of life. */
const EVERY = 50;
/** The peak of memory is asked for after a file that took so long, ms: asking takes longer than reading most files. */
const LONG = 1;
/** Most processes of a round, and files of each below which there are fewer. */
const PROCESSES = 4;
const LEAST = 100;
/** A process that gives no sign for so long hangs, ms. Each of its files may take SLOW, but they do not all. */
const SILENCE = 60_000;

/** The scenario of a format. */
export function mutated(format) {
  const { name, url, files, share } = format;
  return {
    name: `mutated-${name}`,
    limit: 600,
    share,
    format,
    async run(context) {
      const total = context.many(files);
      const processes = Math.max(1, Math.min(PROCESSES, availableParallelism(), Math.floor(total / LEAST)));
      await Promise.all(Array.from({ length: processes }, (_, i) => readShare(context, url, total, i, processes)));
    },
  };
}

/** Reads every `step`th file from `first` on in one process. */
async function readShare(context, url, files, first, step) {
  const args = [fileURLToPath(import.meta.url), url, context.library.url, context.seed, files, first, step].map(String);
  const control = {};
  let [at, timer] = [first];
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      context.finding(`reading hangs at one of the files ${at} to ${at + EVERY * step} of the round`);
      control.end();
    }, SILENCE);
  };
  alive();
  for await (const message of childLines(context, args, control)) {
    alive();
    at = message.at ?? at;
    if (message.finding) context.finding(message.finding);
    for (const [what, n] of Object.entries(message.counts ?? {})) context.count(what, n);
  }
  clearTimeout(timer);
}

/** Values at which sizes and offsets break. */
const EDGES = [0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff];

/** A copy of `base` with 1 to 4 changes: bits, cuts, tokens, moved parts, numbers at their limits. */
export function damaged({ int, chance, pick }, base, tokens = []) {
  let bytes = Buffer.from(base);
  for (let n = 1 + int(4); n > 0; n--) {
    const at = int(bytes.length + 1);
    const kind = int(tokens.length ? 7 : 6);
    if (kind === 0 && at < bytes.length) bytes[at] ^= 1 << int(8);
    else if (kind === 1 && at < bytes.length) bytes[at] = int(256);
    else if (kind === 2 && chance(0.3)) bytes = bytes.subarray(0, at);
    else if (kind === 3) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(int(bytes.length + 1))]);
    else if (kind === 4 && at + 4 <= bytes.length) bytes[chance(0.5) ? 'writeUInt32BE' : 'writeUInt32LE'](pick(EDGES), at);
    else if (kind === 5 && at + 2 <= bytes.length) bytes.writeUInt16BE(pick(EDGES) & 0xffff, at);
    else if (kind === 6)
      bytes = Buffer.concat([
        bytes.subarray(0, at),
        Buffer.from(pick(tokens)),
        bytes.subarray(Math.min(bytes.length, at + int(4))),
      ]);
  }
  return bytes;
}

/** What breaks readers of JSON. */
export const JSON_TOKENS = [
  ...[
    '{',
    '}',
    '[',
    ']',
    '"',
    ',',
    ':',
    '\\',
    '-1',
    '1e99',
    '1.5',
    '0',
    'null',
    'true',
    '""',
    '{}',
    '[]',
    '[[[[',
    '\\u0061',
    '\0',
  ],
  ...[
    '"__proto__":{},',
    '"constructor":1,',
    '99999999999',
    '-0',
    '1e-400',
    '\\ud800',
    '\ufeff',
    '/**/',
    'NaN',
    '9007199254740993',
  ],
];

/** What a child process does: reads its share of `files` damaged files and prints counts and findings as lines of JSON. */
async function readAll(url, libraryUrl, seed, files, first, step) {
  const { format } = Object.values(await import(url)).find((value) => value?.format);
  const library = await import(libraryUrl);
  const { damage = damaged, read } = format;
  const bases = await format.bases(library);
  for (const base of bases) await read(library, new Uint8Array(base), bases);
  const counts = {};
  const print = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);
  let most = process.memoryUsage().rss + GROWTH;
  for (let i = first, n = 0; i < files; i += step, n++) {
    // Neighbouring rounds and files get distant seeds.
    const random = tools(Math.imul(seed, 0x9e3779b1) ^ Math.imul(i + 1, 0x85ebca6b));
    const bytes = new Uint8Array(await damage(random, random.pick(bases), library));
    const begun = performance.now();
    let result = 'valid';
    try {
      const wrong = await read(library, bytes, bases);
      if (wrong) print({ finding: `file ${i} of the round: ${wrong}` });
    } catch (error) {
      result = 'typed error';
      if (!isTyped(error)) print({ finding: `file ${i} of the round: ${error?.stack ?? error}` });
    }
    counts[result] = (counts[result] ?? 0) + 1;
    const ms = performance.now() - begun;
    if (ms > SLOW) print({ finding: `file ${i} of the round took ${ms.toFixed(0)} ms` });
    const peak = ms > LONG || n % EVERY === 0 ? process.resourceUsage().maxRSS * 1024 : 0;
    if (peak > most + bytes.length) {
      print({ finding: `file ${i} of the round, of ${bytes.length} bytes: memory rose to ${(peak / 2 ** 20).toFixed(0)} MB` });
      most = peak + GROWTH;
    }
    if (n % EVERY === 0) print({ at: i });
  }
  print({ counts });
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [url, libraryUrl, ...numbers] = process.argv.slice(2);
  // Not awaited here: the format's module imports this one.
  void readAll(url, libraryUrl, ...numbers.map(Number));
}
