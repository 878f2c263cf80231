/**
 * Damaged safetensors files. Parsing must give a header that agrees with the file, or a typed error, within 5 s and 300 MB.
 * AIM_MUTATIONS is the number of files in a round. The default is 5000, so that 200 rounds are a million files.
 */
import { isTyped } from './context.mjs';

const TOKENS = [
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
  '"__proto__":{},',
  '[[[[',
  'null',
  '\\u0061',
  '\0',
  '99999999999',
];

export const safetensors = {
  name: 'safetensors',
  limit: 300,
  async run(context) {
    const { library } = context;
    const files = Number(process.env.AIM_MUTATIONS ?? 5000);
    const base = library.encodeSafetensors(
      ['a', 'b.weight', '__proto__', 'ü"\\'].map((name, i) => ({
        name,
        dtype: 'F32',
        shape: [i, 2],
        data: new Float32Array(2 * i),
      })),
      { format: 'pt', note: 'x'.repeat(context.int(50)) },
    );
    const memory = process.memoryUsage().rss;
    for (let i = 0; i < files; i++) {
      const bytes = mutate(context, base);
      const begun = Date.now();
      try {
        const header = await library.parseHeader(bytes);
        check(header, bytes, context);
        context.count('valid');
      } catch (error) {
        if (isTyped(error)) context.count('typed error');
        else context.finding(`file ${i} of the round: ${error.stack}`);
      }
      if (Date.now() - begun > 5000) context.finding(`file ${i} of the round took ${Date.now() - begun} ms`);
    }
    const grown = (process.memoryUsage().rss - memory) / 2 ** 20;
    if (grown > 300) context.finding(`the process grew by ${grown.toFixed(0)} MB`);
  },
};

function mutate({ int, chance, pick }, base) {
  let bytes = Buffer.from(base);
  for (let n = 1 + int(4); n > 0; n--) {
    const at = int(bytes.length + 1);
    const kind = int(5);
    if (kind === 0 && at < bytes.length) bytes[at] ^= 1 + int(255);
    else if (kind === 1) bytes = bytes.subarray(0, at);
    else if (kind === 2) bytes = Buffer.concat([bytes.subarray(0, at), Buffer.from(pick(TOKENS)), bytes.subarray(at + int(4))]);
    else if (kind === 3) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(int(bytes.length + 1))]);
    else if (bytes.length >= 8) bytes.writeUInt32LE(chance(0.5) ? int(2 ** 32) : int(bytes.length), 0);
  }
  return new Uint8Array(bytes);
}

/** Reports a header that does not agree with the file. */
function check({ tensors, dataOffset }, bytes, { finding }) {
  let at = 0;
  for (const [name, { begin, end }] of tensors) {
    if (begin !== at || end < begin) finding(`tensor ${name} lies at ${begin} to ${end}, and the one before ends at ${at}`);
    at = end;
  }
  if (dataOffset + at !== bytes.length) finding(`the tensors end at ${dataOffset + at} of ${bytes.length} bytes`);
}
