/** The commands whose work is disturbed, each on a tiny model in a folder of its own, and a check of what is on disk after it. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { mkdir, readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { modelHub } from './server.mjs';

const path = (name) => fileURLToPath(new URL(`../../${name}`, import.meta.url));
const CLI = path('dist/cli.js');
export const MODEL = path('test/fixtures/mamba2-adaln');
const WASM = ['--device', 'wasm', '--threads', '1'];
const STEPS = 8;
const CHECKPOINT = /^step-\d+(-\d+)?$/;

const isBegun = (run) => existsSync(run) && readdirSync(run).some((name) => CHECKPOINT.test(name));

/**
 * Their arguments. Each makes its files in the folder `place`, and `evaluate` prints figures; `inputs` is the folder of the sound
 * runs, `url` that of a model. A training that has been saved is resumed.
 */
const ARGS = {
  tokenize: (place, inputs) => [
    'tokenize',
    `${inputs}/data`,
    '--tokenizer',
    MODEL,
    '--out',
    `${place}/codes.safetensors`,
    ...WASM,
  ],
  train: (place, inputs) => training('model', `${inputs}/tokenize/codes.safetensors`, place),
  'train-tokenizer': (place, inputs) => training('tokenizer', `${inputs}/data`, place),
  evaluate: (place, inputs) => [
    ...[
      'evaluate',
      MODEL,
      '--reference',
      `${inputs}/data`,
      '--features',
      'own',
      '--count',
      '120',
      '--shard',
      '4',
      '--kid-subsets',
      '5',
    ],
    ...['--cache', `${place}/features`, '--json', ...WASM],
  ],
  export: (place, inputs) => ['export', `${inputs}/train/run`, '--out', `${place}/model`, '--dtype', 'F32'],
  generate: (place) => ['generate', MODEL, '--out', `${place}/images`, '--count', '12', '--batch', '2', ...WASM],
  download: (place, _, url) => ['generate', `${url}/m`, '--out', `${place}/images`, '--count', '2', ...WASM],
};
const NAMES = Object.keys(ARGS);

function training(kind, data, place) {
  const begin = ['--init', MODEL, '--steps', STEPS, '--eval-every', 2, '--batch-size', 4, '--ema-decay', 0.9];
  const rest = isBegun(`${place}/run`) ? ['--resume'] : begin;
  return ['train', kind, data, '--out', `${place}/run`, ...rest, ...WASM].map(String);
}

/**
 * Runs `aim` and resolves with its exit status or signal, what it printed (stdout), that together with messages (output), and its
 * duration.
 *
 * @param {{ cache?: string, blocks?: number, limit?: number, started?: (child: any) => void }} options `cache` is the folder of
 * downloads, `blocks` the most bytes of a file, in units of 1024, `limit` the time in ms.
 */
export function aim(args, { cache, blocks, limit = 120_000, started } = {}) {
  const command = [process.execPath, CLI, ...args];
  const [file, ...rest] = blocks === undefined ? command : ['bash', '-c', `ulimit -f ${blocks}; exec "$@"`, 'bash', ...command];
  return new Promise((done, fail) => {
    const begun = Date.now();
    const env = { ...process.env, ...(cache && { AIM_CACHE: cache }) };
    const child = spawn(file, rest, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    let late = '';
    const timer = setTimeout(() => {
      late = `\n(it had not ended after ${limit / 1000} s)`;
      child.kill('SIGKILL');
    }, limit);
    let [stdout, output] = ['', ''];
    child.stdout.on('data', (data) => (stdout += data));
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (output += data));
    child.on('error', fail);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      done({ status: late ? 'late' : (code ?? signal), stdout, output: output + late, ms: Date.now() - begun });
    });
    started?.(child);
  });
}

/** Runs a command in `place`, with the cache there. */
export const runCommand = (name, place, { inputs, url, ...options }) =>
  aim(ARGS[name](place, inputs, url), { cache: `${place}/cache`, ...options });

/** Every file below `folder`, by its path there, with / as separator. */
export async function contents(folder) {
  const files = new Map();
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) {
      const file = join(entry.parentPath ?? entry.path, entry.name);
      files.set(relative(folder, file).replaceAll(sep, '/'), await readFile(file));
    }
  return files;
}

let made;
/** The undisturbed run of each command, made once: `{ inputs, runs: { NAME: { ms, files, stdout } } }`. */
export function soundRuns(url) {
  made ??= makeSoundRuns(url);
  return made;
}

async function makeSoundRuns(url) {
  const inputs = mkdtempSync(join(tmpdir(), 'aim-soak-sound-'));
  process.once('exit', () => rmSync(inputs, { recursive: true, force: true }));
  await mkdir(`${inputs}/data`);
  for (const [part, n] of Object.entries({ train: 36, t10k: 6 })) {
    await writeFile(
      `${inputs}/data/${part}-images-idx3-ubyte`,
      idx([n, 8, 8], (i) => (i * 37 + (i >> 6) * 11) % 256),
    );
    await writeFile(
      `${inputs}/data/${part}-labels-idx1-ubyte`,
      idx([n], (i) => i % 3),
    );
  }
  const runs = {};
  for (const name of NAMES) {
    const place = `${inputs}/${name}`;
    await mkdir(place);
    const { status, stdout, output, ms } = await runCommand(name, place, { inputs, url });
    if (status !== 0) throw new Error(`aim ${name} without any fault ended with ${status}: ${output}`);
    runs[name] = { ms, stdout, files: await contents(place) };
  }
  return { inputs, runs };
}

function idx(shape, value) {
  const out = Buffer.alloc(4 + 4 * shape.length + shape.reduce((a, b) => a * b, 1));
  [0x800 + shape.length, ...shape].forEach((n, i) => void out.writeUInt32BE(n, 4 * i));
  for (let i = 4 + 4 * shape.length, k = 0; i < out.length; i++, k++) out[i] = value(k);
  return out;
}

/** Sets the dates of temporary files back, as if they had been left hours ago: younger ones may belong to another machine. */
export async function age(place, { isTemporary }) {
  const then = new Date(Date.now() - 5 * 3_600_000);
  for (const name of await readdir(place, { recursive: true }))
    if (isTemporary(basename(name))) await utimes(join(place, name), then, then).catch(() => {});
}

/**
 * Says what is wrong in `place`: files that are not whole, differ from those of the sound run or do not belong there.
 *
 * @param state 'killed': temporary files may be left; 'stopped': none may; 'complete': as after the undisturbed command.
 * @param stdout What a complete command printed.
 */
export async function faults(name, place, { files: sound, stdout: figures }, state, library, stdout = '') {
  const files = await contents(place);
  const wrong = [];
  for (const [file, bytes] of files) {
    if (isLeft(file, library)) {
      if (state !== 'killed') wrong.push(`${file} is left`);
      continue;
    }
    const why = await whole(file, bytes, library).catch((error) => error.message);
    if (why) wrong.push(`${file}: ${why}`);
    if (isFree(file)) continue;
    const same = sound.get(file);
    if (!same && !/^run\/step-/.test(file)) wrong.push(`${file} does not belong there`);
    else if (same && !same.equals(bytes)) wrong.push(`${file} differs from that of an undisturbed run`);
  }
  if (state === 'complete') {
    for (const file of sound.keys())
      if (!files.has(file) && !/^(run\/step-|cache\/)/.test(file)) wrong.push(`${file} is missing`);
    if (/^train/.test(name)) wrong.push(...unlike(files, sound));
    if (name === 'evaluate' && stdout !== figures) wrong.push(`the figures are ${stdout}, and of an undisturbed run ${figures}`);
  }
  return wrong;
}

/** Temporary files and locks, which a process that is killed leaves. */
const isLeft = (file, { isTemporary }) => file.split('/').some((part) => isTemporary(part) || /\.lock$|\.part$/.test(part));

/** Files with times or random names in them, and those of a run at another step. */
const isFree = (file) => /^(cache\/|run\/(metrics\.jsonl|loss\.svg|latest|run\.json|step-))/.test(file);

/** Says what is wrong with one file; undefined if it is whole. */
async function whole(file, bytes, { decodeImage, parseHeader }) {
  if (file.startsWith('cache/')) return undefined;
  if (file.endsWith('.png')) await decodeImage(new Uint8Array(bytes), file);
  if (file.endsWith('.safetensors')) await parseHeader(new Uint8Array(bytes));
  if (file.endsWith('.json')) JSON.parse(bytes);
  if (file.endsWith('.svg') && !/<\/svg>\s*$/.test(bytes)) return 'it has no end';
  if (file.endsWith('/latest') && !CHECKPOINT.test(String(bytes).trim())) return `it names ${JSON.stringify(String(bytes))}`;
  return undefined;
}

/** Says in what a training that was disturbed and resumed differs from one that was not. */
function unlike(files, sound) {
  const latest = (all) => String(all.get('run/latest')).trim();
  const wrong = [];
  if (!latest(files).startsWith(latest(sound))) return [`latest is ${latest(files)}`];
  for (const [file, bytes] of sound) {
    const own = file.replace(`run/${latest(sound)}/`, `run/${latest(files)}/`);
    if (own.startsWith(`run/${latest(files)}/`) && !files.get(own)?.equals(bytes))
      wrong.push(`${own} differs from an undisturbed run's`);
  }
  const steps = metrics(files).map(({ step }) => step);
  if (String(steps) !== String(metrics(sound).map(({ step }) => step))) wrong.push(`metrics.jsonl has the steps ${steps}`);
  const losses = (all) => String(metrics(all).map(({ loss }) => loss));
  if (losses(files) !== losses(sound)) wrong.push('the losses in metrics.jsonl differ from those of an undisturbed run');
  return wrong;
}

const metrics = (files) =>
  String(files.get('run/metrics.jsonl'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

/**
 * The commands of a round, from a random one on, each with a new folder `place`, the options of runCommand and its sound run. `check`
 * reports what is wrong in the folder, and `complete` what is wrong with a run that was to end well.
 */
export async function* turns(context) {
  const server = await modelHub(context);
  const { inputs, runs } = await soundRuns(server.url);
  const first = context.int(NAMES.length);
  for (let i = 0; i < context.many(NAMES.length); i++) {
    const name = NAMES[(first + i) % NAMES.length];
    const place = `${context.folder}/${name}`;
    await mkdir(place);
    const check = async (state, what, stdout) => {
      for (const fault of await faults(name, place, runs[name], state, context.library, stdout))
        context.finding(`aim ${name}, ${what}: ${fault}`);
    };
    const complete = async ({ status, stdout, output }, what) => {
      if (status === 0) await check('complete', what, stdout);
      else context.finding(`aim ${name}, ${what}: it ended with ${status}: ${output}`);
    };
    yield { server, name, place, options: { inputs, url: server.url }, sound: runs[name], check, complete };
  }
}
