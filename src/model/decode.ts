/** Decodes codes to images. A chunk of its own, because pages that draw have their images decoded. */
import { OptionError } from '../core/errors.js';
import { checkOptions, shown } from '../core/options.js';
import type { AimImage } from '../io/image.js';
import type { Model } from './model.js';

interface DecodeOptions {
  signal?: AbortSignal | undefined;
}

const DECODE = { signal: { type: 'signal', about: 'stops the decoding' } } as const;

/** See AiM.decode. */
export async function decode(model: Model, codes: readonly ArrayLike<number>[], options: DecodeOptions): Promise<AimImage[]> {
  const { signal } = checkOptions<DecodeOptions, typeof DECODE>('decode', options, DECODE);
  model.assertLive();
  checkCodeList(codes);
  for (const code of codes as readonly ArrayLike<number>[]) checkCodeGrid(code, model.config.vocab_size);
  const images: AimImage[] = [];
  for (let at = 0; at < codes.length; ) {
    // Consecutive images of one size are decoded together.
    const { length } = codes[at]!;
    let end = at + 1;
    while (end < codes.length && codes[end]!.length === length) end++;
    const all = new Uint32Array((end - at) * length);
    for (let i = at; i < end; i++) all.set(Uint32Array.from(codes[i]!), (i - at) * length);
    images.push(...(await model.decode(all, [end - at, length], signal)));
    at = end;
  }
  return images;
}

/** Throws OptionError unless the argument is a list. */
export function checkCodeList(codes: readonly ArrayLike<number>[]): void {
  if (!Array.isArray(codes))
    throw new OptionError(`decode: the codes are ${shown(codes)}; pass a list with the codes of each image.`);
}

function checkCodeGrid(code: ArrayLike<number>, vocabulary: number): void {
  const length = code?.length;
  if (typeof length !== 'number')
    throw new OptionError(`decode: the codes of an image are ${shown(code)}; pass a list of numbers.`);
  if (!Number.isInteger(Math.sqrt(length)) || length === 0)
    throw new OptionError(`decode: ${length} codes do not fill a square; pass h·w codes with h = w.`);
  const bad = Array.prototype.findIndex.call(code, (c: number) => !(Number.isInteger(c) && c >= 0 && c < vocabulary));
  if (bad >= 0) throw new OptionError(`decode: code ${bad} is ${shown(code[bad])}; codes go from 0 to ${vocabulary - 1}.`);
}
