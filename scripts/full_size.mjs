/**
 * `npm run full-size` loads, converts and draws with files of AiM-B's size (878 MB, values by chance) in every form that its checkpoints
 * come in, each in a process of its own, and compares the memory of the process with the limit: 1.3 times the weights and 200 MB. Each
 * weight is compared bit for bit. It takes some minutes and 5 GB of disk, in a folder that is removed at the end. Exits with 1 if
 * something does not hold.
 *
 *   npm run full-size -- [--only NAME,NAME] [--folder FOLDER]
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, mkdtempSync, readFileSync, rmSync, statfsSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import * as files from './full_size/files.mjs';
import { Hub } from './full_size/hub.mjs';
import { build, install, root } from './setup.mjs';

const DISK = 6e9;
const LIMIT = 1.3 * files.WEIGHT_BYTES + 200e6;
const COMMIT = 'c'.repeat(40);
const CHUNK = 8 * 2 ** 20;

const stage2 = files.TENSORS.filter(({ name }) => name.startsWith('mamba.'));
const tokenizer = files.TENSORS.filter(({ name }) => name.startsWith('vqvae.'));

/** The forms of a checkpoint on the disk: `make(folder, torch)` writes one, and returns what to load if that is not the folder. */
const FORMS = {
  safetensors: (folder) => files.writeSafetensors(join(folder, 'model.safetensors')),
  'safetensors, names with _orig_mod.': (folder) =>
    files.writeSafetensors(join(folder, 'model.safetensors'), files.TENSORS, (name) => `_orig_mod.${name}`),
  'three safetensors, names with model.': (folder) => files.writeShards(folder, 3, (name) => `model.${name}`),
  'torch.save of the state dict': (folder, torch) => files.writeTorch(torch, join(folder, 'pytorch_model.bin')),
  'torch.save of a training, names with module.': (folder, torch) => {
    const training = (dict) => ({ model: dict, steps: 300000, optimizer: { state: {} } });
    files.writeTorch(torch, join(folder, 'last.pt'), files.TENSORS, (name) => `module.${name}`, training);
    return join(folder, 'last.pt');
  },
  'aim_b.bin beside vq_ds16_c2i.pt': (folder, torch) => {
    files.writeTorch(torch, join(folder, 'aim_b.bin'), stage2, (name) => name.slice('mamba.'.length));
    const llamaGen = (dict) => ({ model: dict, steps: 1 });
    files.writeTorch(torch, join(folder, 'vq_ds16_c2i.pt'), tokenizer, (name) => name.slice('vqvae.'.length), llamaGen);
  },
};

const rows = [];
const findings = [];
const mb = (bytes) => `${Math.round(bytes / 1e6)} MB`;

/** Reports one step. `holds` are pairs of a condition and what is wrong if it is false. */
function report(what, { seconds, cpu, peak, sent }, ...holds) {
  const wrong = holds.filter(([isTrue]) => !isTrue).map(([, text]) => text);
  if (peak > LIMIT) wrong.push(`${mb(peak)} are more than ${mb(LIMIT)}`);
  const fetched = sent === undefined ? '' : mb(sent);
  rows.push([what, `${seconds.toFixed(1)} s`, `${cpu.toFixed(1)} s`, mb(peak), fetched, wrong.join('; ') || 'ok']);
  for (const text of wrong) findings.push(`${what}: ${text}`);
  process.stderr.write(`${rows.at(-1).join(' | ')}\n`);
}

const running = new Set();

/** Runs a Node program. Returns its lines of JSON, and throws if it fails. `onStart` gets the process. */
async function node(args, { onStart, env } = {}) {
  const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
  running.add(child);
  const ended = new Promise((resolve) => child.on('close', (code, signal) => resolve(code ?? signal)));
  let errors = '';
  child.stderr.on('data', (text) => (errors = `${errors}${text}`.slice(-4000)));
  onStart?.(child);
  const lines = [];
  for await (const line of createInterface(child.stdout)) lines.push(line);
  const code = await ended;
  running.delete(child);
  return { code, errors, lines };
}

const LOAD = fileURLToPath(new URL('./full_size/load.mjs', import.meta.url));

/** Loads in a process of its own. Throws if that fails. */
async function load(source, options = {}, { save, draw, env } = {}) {
  const argument = JSON.stringify({ source, options: { device: 'wasm', ...options }, save, draw });
  const { code, errors, lines } = await node([LOAD, argument], { env });
  if (code !== 0) throw new Error(`loading ended with ${code}: ${errors}`);
  return lines.map((line) => JSON.parse(line));
}

/** Loads in a process of its own and reports it. `sentBy` says how many bytes that fetched, and what of that is wrong. */
async function loaded(what, source, options = {}, more = {}, sentBy = () => [undefined]) {
  const [first, { wrong }, ...rest] = await load(source, options, more);
  const [sent, ...holds] = sentBy();
  const { ignored, device } = first;
  report(
    what.replace('DEVICE', device),
    { ...first, sent },
    [wrong.length === 0, `${wrong} are wrong`],
    [ignored.length === 0, `ignored ${ignored}`],
    ...holds,
  );
  return rest;
}

/** Writes the memory and processor time that a program has used to a file, when it ends. */
const PEAK = `data:text/javascript,${encodeURIComponent(`
  import { readFileSync, writeFileSync } from 'node:fs';
  process.on('exit', () => {
    let peak = process.resourceUsage().maxRSS;
    try { peak = /VmHWM:\\s+(\\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))[1]; } catch {}
    const { user, system } = process.cpuUsage();
    writeFileSync(process.env.AIM_PEAK, JSON.stringify({ peak: peak * 1024, cpu: (user + system) / 1e6 }));
  });`)}`;

/** Runs a command of `aim` and returns seconds and memory. */
async function aim(folder, ...args) {
  const file = join(folder, 'peak');
  const begun = performance.now();
  const { code, errors } = await node(['--import', PEAK, `${root}dist/cli.js`, ...args], { env: { AIM_PEAK: file } });
  if (code !== 0) throw new Error(`aim ${args[0]} ended with ${code}: ${errors}`);
  return { seconds: (performance.now() - begun) / 1000, ...JSON.parse(readFileSync(file, 'utf8')) };
}

/** Every form on the disk: loaded and compared; converted and compared. The first one is saved as well. */
async function forms(folder, torch) {
  for (const [i, [name, make]] of Object.entries(FORMS).entries()) {
    const [from, to] = [files.configured(join(folder, 'model')), join(folder, 'saved')];
    const source = make(from, torch) ?? from;
    await loaded(name, source, {}, i === 0 ? { save: to } : {});
    if (i === 0) {
      const wrong = files.differences(join(to, 'model.safetensors'));
      if (wrong) findings.push(`saved: ${wrong}`);
    }
    rmSync(to, { recursive: true, force: true });
    const converted = await aim(folder, 'convert', source, to);
    const other = files.differences(join(to, 'model.safetensors'));
    report('… aim convert', converted, [!other, other]);
    for (const path of [from, to]) rmSync(path, { recursive: true, force: true });
  }
}

/** The tokenizer alone, as LlamaGen publishes it, converted; it has no config.json. */
async function llamaGen(folder, torch) {
  const path = join(folder, 'vq_ds16_c2i.pt');
  const training = (dict) => ({ model: dict, optimizer: { state: {} }, steps: 1, args: { seed: 0 } });
  files.writeTorch(torch, path, tokenizer, (name) => name.slice('vqvae.'.length), training);
  const to = join(folder, 'converted');
  const done = await aim(folder, 'convert', path, to);
  const wrong = files.differences(join(to, 'model.safetensors'), tokenizer);
  report('vq_ds16_c2i.pt, aim convert', done, [!wrong, wrong]);
  for (const made of [path, to]) rmSync(made, { recursive: true, force: true });
}

/** A repository of a hub: a download that a killed process has begun, continued; loaded from the cache; without a cache. */
async function hub(folder, torch) {
  const model = files.configured(join(folder, 'model'));
  const file = join(model, 'model.safetensors');
  files.writeSafetensors(file);
  const { size } = statSync(file);
  const sha256 = await hashOf(file);
  const server = await Hub.start();
  try {
    server.repository(
      'ann/aim-base',
      COMMIT,
      { 'config.json': join(model, 'config.json') },
      { 'model.safetensors': { file, sha256 } },
    );
    const options = { endpoint: server.url, cacheDir: join(folder, 'cache') };

    // Killed when half of it has arrived.
    server.stallAt = Math.floor(size / 2);
    const argument = JSON.stringify({ source: 'ann/aim-base', options: { device: 'wasm', ...options } });
    const begun = performance.now();
    await node([LOAD, argument], {
      onStart(child) {
        server.stalled = () => setTimeout(() => child.kill('SIGKILL'), 2000);
      },
    });
    const first = server.take();
    rows.push(['repository, killed half-way', `${((performance.now() - begun) / 1000).toFixed(1)} s`, '', '', mb(first), '']);

    await loaded('… loaded again: the rest is fetched', 'ann/aim-base', options, {}, () => {
      const rest = server.take();
      // The last chunk is stored when the next one is asked for, and the sockets hold some more.
      const again = first + rest - size;
      return [rest, [again >= 0 && again < 3 * CHUNK, `${mb(again)} were fetched twice`]];
    });
    const fetches = (least, most) => () => {
      const sent = server.take();
      return [sent, [sent >= least && sent <= most, `${mb(sent)} were fetched`]];
    };
    await loaded('… from the cache', 'ann/aim-base', options, {}, fetches(0, 1e4));
    rmSync(join(folder, 'cache'), { recursive: true, force: true });
    await loaded('… without a cache', 'ann/aim-base', { ...options, cache: false }, {}, fetches(size, size + 1e6));
    rmSync(model, { recursive: true, force: true });

    // A zip has its directory at the end, and its bytes in the middle.
    const zip = join(files.configured(join(folder, 'zip')), 'last.pt');
    files.writeTorch(torch, zip);
    Object.assign(server.paths, {
      '/zip/config.json': { file: join(folder, 'zip', 'config.json'), headers: { etag: '"1"' } },
      '/zip/last.pt': { file: zip, headers: { etag: '"2"' } },
    });
    const { size: packed } = statSync(zip);
    for (const [what, cache] of [
      ['URL of a torch.save', true],
      ['… without a cache', false],
    ]) {
      const own = { cache, cacheDir: join(folder, 'cache') };
      await loaded(what, `${server.url}/zip/last.pt`, own, {}, fetches(packed, packed + 4 * CHUNK));
      rmSync(join(folder, 'cache'), { recursive: true, force: true });
    }
  } finally {
    server.close();
    for (const made of ['model', 'zip', 'cache']) rmSync(join(folder, made), { recursive: true, force: true });
  }
}

/** A class by name, drawn by WASM. */
async function draw(folder) {
  const model = files.configured(join(folder, 'model'));
  files.writeSafetensors(join(model, 'model.safetensors'));
  const out = join(folder, 'dog.png');
  const [{ device }, , drawn] = await load(model, {}, { draw: { class: 'golden retriever', out } });
  const { label, width } = drawn;
  report(`${device}: 'golden retriever' drawn`, drawn, [label === 207 && width === 256, `class ${label}, ${width} pixels`]);
  rmSync(model, { recursive: true, force: true });
}

/** The same weights on a GPU, which may be one of software, whose memory is the process's. */
async function webgpu(folder) {
  const { SWIFTSHADER, WITHOUT_CLEARING } = await files.bundled('test/vulkan_driver.ts');
  const { env } = process;
  const own = env.VK_ICD_FILENAMES || env.VK_DRIVER_FILES || !existsSync(SWIFTSHADER) ? {} : { VK_ICD_FILENAMES: SWIFTSHADER };
  const model = files.configured(join(folder, 'model'));
  files.writeSafetensors(join(model, 'model.safetensors'));
  try {
    await loaded(
      'safetensors, DEVICE',
      model,
      { device: 'webgpu' },
      {
        env: { XDG_RUNTIME_DIR: '/tmp', AIM_DAWN: WITHOUT_CLEARING, ...own, ...env },
      },
    );
  } catch (error) {
    if (!/ERR_DEVICE/.test(error.message)) throw error;
    rows.push(['safetensors, webgpu', '', '', '', '', 'left out: no adapter']);
  }
  rmSync(model, { recursive: true, force: true });
}

const STEPS = { forms, tokenizer: llamaGen, hub, draw, webgpu };

async function hashOf(path) {
  const hash = createHash('sha256');
  for await (const piece of createReadStream(path, { highWaterMark: 2 ** 20 })) hash.update(piece);
  return hash.digest('hex');
}

async function main() {
  const { values } = parseArgs({ options: { only: { type: 'string' }, folder: { type: 'string', default: tmpdir() } } });
  const names = values.only?.split(',') ?? Object.keys(STEPS);
  const unknown = names.find((name) => !STEPS[name]);
  if (unknown !== undefined) throw new Error(`there is no step ${unknown}; use one of ${Object.keys(STEPS).join(', ')}.`);
  const { bavail, bsize } = statfsSync(values.folder);
  if (bavail * bsize < DISK)
    throw new Error(`${values.folder} has ${mb(bavail * bsize)} free, and ${mb(DISK)} are needed; give another --folder.`);
  install();
  build();
  const folder = mkdtempSync(join(values.folder, 'aim-full-size-'));
  const clean = () => {
    for (const child of running) child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  };
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ])
    process.once(signal, () => {
      clean();
      process.exit(code);
    });
  try {
    const torch = await files.bundled('test/io/torch_file.ts');
    for (const name of names) await STEPS[name](folder, torch);
  } finally {
    clean();
  }
  const head = ['what', 'time', 'of the processor', 'memory', 'fetched', ''];
  console.log(`weights ${mb(files.WEIGHT_BYTES)}, limit ${mb(LIMIT)}`);
  for (const row of [head, head.map(() => '---'), ...rows]) console.log(`| ${row.join(' | ')} |`);
  for (const text of findings) console.log(`FINDING: ${text}`);
  process.exitCode = findings.length ? 1 : 0;
}

await main();
