/** Failures outside the library are typed errors that say what to do, and the model remains usable. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { AiM } from '../../src/aim.js';
import { bytesSource } from '../../src/checkpoint/source.js';
import { CheckpointError, OutOfMemoryError } from '../../src/core/errors.js';
import { parseHeader } from '../../src/io/safetensors.js';
import { hasAdapter, NO_ADAPTER } from '../backends.js';
import { fixture } from '../goldens.js';
import { run } from './run_program.js';

const SMALL = fixture('mamba2-adaln');
const aimModule = fileURLToPath(new URL('../../dist/aim.js', import.meta.url));

/** The small model with every value of one tensor replaced. */
async function spoilt(name: string, value: number) {
  const weights = new Uint8Array(readFileSync(`${SMALL}/model.safetensors`));
  const header = await parseHeader(bytesSource(weights));
  const view = new DataView(weights.buffer);
  const { begin, end } = header.tensors.get(name)!;
  for (let at = begin; at < end; at += 4) view.setFloat32(header.dataOffset + at, value, true);
  return { config: JSON.parse(readFileSync(`${SMALL}/config.json`, 'utf8')), weights };
}

const failure = (work: Promise<unknown>): Promise<Error> =>
  work.then(
    () => expect.fail('it went through'),
    (error) => error,
  );

for (const device of ['wasm', 'webgpu'] as const) {
  it(`weights that are not finite or overflow are an error on ${device}`, async ({ skip }) => {
    if (device === 'webgpu' && !(await hasAdapter())) return skip(NO_ADAPTER);
    const NORM = 'mamba.backbone.norm_f.weight';
    const nan = await failure(AiM.fromPretrained(await spoilt(NORM, Number.NaN), { device }));
    expect(nan).toBeInstanceOf(CheckpointError);
    expect(nan.message).toMatch(/norm_f\.weight.*(NaN|not finite)/);
    const model = await AiM.fromPretrained(await spoilt(NORM, 3e38), { device });
    const drawn = await failure(model.generate({ count: 1 }));
    expect(drawn).toBeInstanceOf(CheckpointError);
    expect(drawn.message).toMatch(/the logits are not finite.*load another checkpoint/);
    await model.dispose();
    const tokenizer = await AiM.fromPretrained(await spoilt('vqvae.decoder.norm_out.weight', 3e38), { device });
    const decoded = await failure(tokenizer.decode([new Uint32Array(16)]));
    expect(decoded).toBeInstanceOf(CheckpointError);
    expect(decoded.message).toMatch(/the decoded pixels are not finite/);
    await tokenizer.dispose();
  });
}

it('a batch larger than the device can bind is refused and its memory is freed', async ({ skip }) => {
  if (!(await hasAdapter())) return skip(NO_ADAPTER);
  const config = JSON.parse(readFileSync(`${SMALL}/config.json`, 'utf8'));
  const codes = 2 ** 17;
  const large = { ...config, vocab_size: codes, vq_config: { ...config.vq_config, n_embed: codes } };
  const aim = await AiM.fromConfig(large, { device: 'webgpu' });
  const before = aim.model.be.bytes;
  const error = await failure(aim.generate({ count: 4096, batchSize: 4096 }));
  expect(error).toBeInstanceOf(OutOfMemoryError);
  expect(error.message).toMatch(/a tensor of \[.*\] needs \d+ MiB but this GPU device binds at most.*draw fewer images at once/);
  expect(aim.model.be.bytes).toBe(before);
  await aim.dispose();
});

it('a GPU out of memory is an error that says so, and the model still works afterwards', async ({ skip }) => {
  if (!(await hasAdapter())) return skip(NO_ADAPTER);
  const limited = spawnSync('prlimit', ['--version']).status === 0 && process.env.VK_ICD_FILENAMES?.includes('swiftshader');
  if (!limited) return skip('no prlimit, or a GPU whose memory it does not limit (the software adapter has the process’s)');
  const script = `
    import { spawnSync } from 'node:child_process';
    import { readFileSync } from 'node:fs';
    import { AiM, OutOfMemoryError } from ${JSON.stringify(aimModule)};
    const limit = (bytes) => spawnSync('prlimit', ['--pid', String(process.pid), '--as=' + bytes + ':unlimited']);
    const used = () => Number(/VmSize:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024;
    const aim = await AiM.fromPretrained(${JSON.stringify(SMALL)}, { device: 'webgpu' });
    const { be } = aim.model;
    const small = be.from([1, 2, 3, 4]);
    await be.read(small);
    limit(used() + 600 * 2 ** 20);
    const error = await (async () => {
      for (let i = 0; i < 6; i++) {
        be.zero(be.tensor([50 * 2 ** 20]));
        await be.read(small);
      }
    })().catch((e) => e);
    limit('unlimited');
    const again = await aim.model.read('mamba.backbone.norm_f.weight');
    console.log(JSON.stringify({ typed: error instanceof OutOfMemoryError, message: String(error), values: again.length, devices: aim.model.recoveries }));
    process.exit(0);`;
  const { stdout, stderr } = await run(process.execPath, ['--input-type=module', '-e', script]);
  expect(JSON.parse(stdout || JSON.stringify(stderr))).toEqual({
    typed: true,
    message: expect.stringMatching(/the GPU is out of memory \(.*draw fewer images at once or use a smaller model/),
    values: 64,
    devices: 1,
  });
});

it("without an adapter the error says what to install, and device 'auto' uses WASM", async () => {
  const script = `
    import { AiM } from ${JSON.stringify(aimModule)};
    const load = (device) => AiM.fromPretrained(${JSON.stringify(SMALL)}, { device });
    const error = await load('webgpu').catch((e) => e);
    const aim = await load('auto');
    console.log(JSON.stringify([error.code, error.message, aim.backend]));
    process.exit(0);`;
  const env = { ...process.env, VK_ICD_FILENAMES: '/nowhere.json', VK_DRIVER_FILES: '/nowhere.json' };
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script], { env });
  expect(JSON.parse(stdout)).toEqual([
    'ERR_DEVICE',
    expect.stringMatching(/^WebGPU was asked for but no WebGPU adapter was found .*use device 'wasm'/),
    'wasm',
  ]);
});
