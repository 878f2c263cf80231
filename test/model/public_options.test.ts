/** Every public call that takes options refuses names that do not exist, with the nearest that does. */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { AiM } from '../../src/aim.js';
import { cachedFiles, clearCache } from '../../src/checkpoint/cached_files.js';
import { bytesSource } from '../../src/checkpoint/source.js';
import { OptionError } from '../../src/core/errors.js';
import { readCodes, tokenize } from '../../src/data/codes.js';
import { openData } from '../../src/data/open.js';
import { saveCheckpoint } from '../../src/train/folder.js';
import { Trainer } from '../../src/train/trainer.js';
import { verify } from '../../src/verify/run.js';
import { CONFIG, codesFor } from '../train/tiny_model.js';

let aim: AiM;
let trainer: Trainer;
beforeAll(async () => {
  aim = await AiM.fromConfig(CONFIG, { device: 'wasm' });
  trainer = new Trainer({ model: aim, data: await codesFor(aim), steps: 2, batchSize: 4 });
});
afterAll(async () => {
  trainer.dispose();
  await aim.dispose();
});

const none = join(tmpdir(), 'aim-nothing-is-here');
/** Each call with a misspelt option, and the name that the message suggests. */
const CALLS: [string, (options: never) => unknown, object, string][] = [
  ['fromPretrained', (o) => AiM.fromPretrained(none, o), { devcie: 'wasm' }, 'device'],
  ['fromConfig', (o) => AiM.fromConfig(CONFIG, o), { sead: 1 }, 'seed'],
  ['loadPart', (o) => aim.loadPart('vqvae.', none, o), { tokn: '' }, 'token'],
  ['generate', (o) => aim.generate(o), { topk: 5 }, 'topK'],
  ['generateEach', (o) => aim.generateEach(o).next(), { clases: [1] }, 'classes'],
  ['tune', (o) => aim.tune(o), { batchsize: 1 }, 'batchSize'],
  ['decode', (o) => aim.decode([], o), { singal: 1 }, 'signal'],
  ['logits', (o) => aim.logits([], 0, o), { singal: 1 }, 'signal'],
  ['logLikelihood', (o) => aim.logLikelihood([], 0, o), { singal: 1 }, 'signal'],
  ['save', (o) => aim.save(none, o), { dtpye: 'f16' }, 'dtype'],
  ['toFiles', (o) => aim.toFiles(o), { dtpye: 'f16' }, 'dtype'],
  ['cachedFiles', (o) => cachedFiles(o), { modle: 'a/b' }, 'model'],
  ['clearCache', (o) => clearCache(o), { cacheDir: none, modle: 'a/b' }, 'model'],
  ['openData', (o) => openData(none, o), { size: 8, filp: true }, 'flip'],
  ['tokenize', (o) => tokenize(aim, {} as never, o), { augmnet: 1 }, 'augment'],
  ['readCodes', (o) => readCodes(none, o), { singal: 1 }, 'signal'],
  ['verify', (o) => verify(aim, bytesSource(new Uint8Array()), o), { slwo: true }, 'slow'],
  ['saveCheckpoint', (o) => saveCheckpoint(none, trainer.checkpoint(), o), { kep: 1 }, 'keep'],
  ['Trainer', (o) => new Trainer(o), { bathcSize: 3 }, 'batchSize'],
  ['Trainer.run', (o) => trainer.run(o).next(), { untli: 1 }, 'until'],
  ['Trainer.tune', (o) => trainer.tune(o), { singal: 1 }, 'signal'],
  ['Trainer.evaluate', (o) => trainer.evaluate(o), { singal: 1 }, 'signal'],
  ['Trainer.resume', (o) => trainer.resume({} as never, o), { dataChange: true }, 'dataChanged'],
];

it.each(CALLS)('%s', async (_, call, options, meant) => {
  const error = await Promise.resolve()
    .then(() => call(options as never))
    .catch((e) => e);
  expect(error).toBeInstanceOf(OptionError);
  expect((error as OptionError).message).toContain(`did you mean ${meant}?`);
});
