/** Models in files of PyTorch: loaded whole, in the authors' older layout, as a tokenizer alone, and converted. */
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { AiM } from '../../src/aim.js';
import { modelName } from '../../src/checkpoint/names.js';
import { parse } from '../../src/cli/command.js';
import { convert } from '../../src/cli/convert.js';
import { bytesSource } from '../../src/io/bytes.js';
import { parseHeader, readFloats } from '../../src/io/safetensors.js';
import { fixture } from '../goldens.js';
import { failure, temporaryFolder } from './helpers.js';
import { Call, Ordered, storage, TensorView, torchFile } from './torch_file.js';

const convertCommand = async (argv: string[], stop: AbortSignal) => convert.run(parse(convert, argv)!, stop);

const folder = await temporaryFolder();
const model = fixture('mamba1-adaln-group');
const weights = bytesSource(readFileSync(`${model}/model.safetensors`));

/** The fixture's tensors as a state dict: those whose names `rename` gives a name. */
async function state(rename: (name: string) => string | undefined): Promise<Ordered> {
  const header = await parseHeader(weights);
  const out = new Ordered();
  let key = 0;
  for (const [name, { shape }] of header.tensors) {
    const saved = rename(name);
    if (saved === undefined) continue;
    const data = await readFloats(weights, header, name);
    out.set(saved, new TensorView(storage(String(key++), 'FloatStorage', data), [...shape]));
  }
  return out;
}

function place(name: string, files: Record<string, unknown>): string {
  const path = join(folder, name);
  mkdirSync(path);
  for (const [file, value] of Object.entries(files)) writeFileSync(join(path, file), torchFile(value));
  copyFileSync(`${model}/config.json`, join(path, 'config.json'));
  return path;
}

const stage2 = (name: string) => (name.startsWith('mamba.') ? name.slice('mamba.'.length) : undefined);
const tokenizer = (name: string) => (name.startsWith('vqvae.') ? name.slice('vqvae.'.length) : undefined);
const device = 'wasm';

async function tokens(source: string): Promise<number[][]> {
  const aim = await AiM.fromPretrained(source, { device });
  const { tokens } = await aim.generate({ classes: [0, 1], seed: 3 });
  await aim.dispose();
  return tokens.map((codes) => [...codes]);
}

it('model.safetensors, pytorch_model.bin, and aim_b.bin with vq_f16.pt give the same images', async () => {
  const wanted = await tokens(model);
  const whole = place('whole', { 'pytorch_model.bin': await state((name) => `module._orig_mod.${name}`) });
  expect(await tokens(whole)).toEqual(wanted);
  expect(await tokens(join(whole, 'pytorch_model.bin'))).toEqual(wanted);
  const args = new Call('argparse', 'Namespace', [], { lr: 1e-4 });
  const parts = place('parts', {
    'aim_b.bin': await state(stage2),
    'vq_f16.pt': { model: await state(tokenizer), optimizer: {}, args },
  });
  expect(await tokens(parts)).toEqual(wanted);
});

it('loads a tokenizer from a file without a config beside it', async () => {
  const path = join(folder, 'vq_ds16_c2i.pt');
  writeFileSync(path, torchFile({ ema: await state((name) => tokenizer(name) && `module.${tokenizer(name)}`) }));
  const { vq_config, ...config } = JSON.parse(readFileSync(`${model}/config.json`, 'utf8'));
  const aim = await AiM.fromConfig({ ...config, vq_config }, { device });
  await aim.loadPart('vqvae.', path);
  const header = await parseHeader(weights);
  for (const name of ['vqvae.quantize.embedding.weight', 'vqvae.post_quant_conv.bias'])
    expect(await aim.model.read(name)).toEqual(await readFloats(weights, header, name));
  await aim.dispose();
  expect((await failure(AiM.fromPretrained(path, { device }))).message).toMatch(/no file .*config\.json/);
});

it('an ambiguous choice of files is an error that lists them', async () => {
  const path = place('several', { 'a.pt': {}, 'b.pth': {} });
  expect((await failure(AiM.fromPretrained(path, { device }))).message).toMatch(/several files of weights \(a\.pt, b\.pth\)/);
});

it('accepts tensor names with prefixes of wrappers and of modules saved alone', () => {
  const known = {
    'mamba.backbone.norm_f.weight': 'mamba.backbone.norm_f.weight',
    'module.vqvae.quantize.embedding.weight': 'vqvae.quantize.embedding.weight',
    '_orig_mod.backbone.layers.0.norm.weight': 'mamba.backbone.layers.0.norm.weight',
    'mamba._orig_mod.backbone.layers.0.norm.weight': 'mamba.backbone.layers.0.norm.weight',
    'layers.3.mixer.D': 'mamba.backbone.layers.3.mixer.D',
    'lm_head.weight': 'mamba.lm_head.weight',
    'model.encoder.conv_in.weight': 'vqvae.encoder.conv_in.weight',
    unrelated: 'unrelated',
  };
  for (const [name, wanted] of Object.entries(known)) expect(modelName(name)).toBe(wanted);
});

it('aim convert writes safetensors, config and class names', async () => {
  const signal = new AbortController().signal;
  const from = place('old', { 'model.pt': { model: await state((name) => `module.${name}`), steps: 3 } });
  writeFileSync(join(from, 'classes.json'), JSON.stringify(['cat', 'dog']));
  const out = join(folder, 'converted');
  expect(await convertCommand([from, out], signal)).toBe(0);
  expect(readdirSync(out).sort()).toEqual(['classes.json', 'config.json', 'model.safetensors']);
  expect(readFileSync(`${out}/config.json`)).toEqual(readFileSync(`${model}/config.json`));
  expect(JSON.parse(readFileSync(`${out}/classes.json`, 'utf8'))).toEqual(['cat', 'dog']);
  const [old, made] = [await parseHeader(weights), await parseHeader(readFileSync(`${out}/model.safetensors`))];
  expect([...made.tensors.keys()].sort()).toEqual([...old.tensors.keys()].sort());
  const source = bytesSource(readFileSync(`${out}/model.safetensors`));
  for (const name of old.tensors.keys())
    expect(await readFloats(source, made, name)).toEqual(await readFloats(weights, old, name));

  const half = join(folder, 'half');
  expect(await convertCommand([join(from, 'model.pt'), half, '--dtype', 'f16', '--part', 'model'], signal)).toBe(0);
  for (const { dtype } of (await parseHeader(readFileSync(`${half}/model.safetensors`))).tensors.values())
    expect(dtype).toBe('F16');

  const none = join(folder, 'none');
  expect((await failure(convertCommand([from, none, '--dtype', 'f8'], signal))).message).toMatch(/--dtype is "f8"/);
  expect((await failure(convertCommand([from], signal))).message).toMatch(/say what and where to/);
  expect((await failure(convertCommand([join(from, 'model.pt'), none, '--part', 'ema'], signal))).message).toMatch(/has no ema/);
  expect((await failure(convertCommand([join(model, 'model.safetensors'), none, '--part', 'ema'], signal))).message).toMatch(
    /not a PyTorch file/,
  );
  expect(existsSync(none)).toBe(false);
});
