/**
 * `node scripts/products.mjs` times the WASM backend's matrix products beside those of TensorFlow.js (WASM, XNNPACK) and ONNX Runtime
 * Web, each on one thread, at shapes of models/fashion-mnist. It installs the two packages into out/products first. The turns of the
 * libraries alternate, and the result of each is compared with ours.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { bundle } from './bundle.mjs';
import { root } from './setup.mjs';

const folder = `${root}out/products`;
const PACKAGES = ['@tensorflow/tfjs-core@4', '@tensorflow/tfjs-backend-wasm@4', 'onnxruntime-web@1'];

/** Rows, outputs, inputs. A step of ten images with guidance has 20 rows; training sees all 64 tokens of ten images at once. */
const SHAPES = [
  ['in_proj, a step of 10 images', 20, 1288, 256],
  ['out_proj, a step of 10 images', 20, 256, 512],
  ['head, a step of 10 images', 20, 512, 256],
  ['in_proj, 10 sequences', 640, 1288, 256],
  ['out_proj, 10 sequences', 640, 256, 512],
  ['square', 512, 512, 512],
];
const TURNS = 9;
const TURN_MS = 60;

mkdirSync(folder, { recursive: true });
writeFileSync(`${folder}/package.json`, '{}');
if (!existsSync(`${folder}/node_modules`))
  execFileSync('npm', ['install', '--no-audit', '--no-fund', '--loglevel=error', ...PACKAGES], { cwd: folder, stdio: 'inherit' });
const { ours } = await import(await bundle('test/ops/products.ts'));
const from = createRequire(`${folder}/package.json`);
const tf = from('@tensorflow/tfjs-core');
const { setThreadsCount } = from('@tensorflow/tfjs-backend-wasm');
const ort = from('onnxruntime-web');
setThreadsCount(1);
await tf.setBackend('wasm');
ort.env.wasm.numThreads = 1;

process.stdout.write('product                          ours      TensorFlow.js  ONNX Runtime   the better of them : ours\n');
for (const [name, m, n, k] of SHAPES) {
  const noise = (length) => Float32Array.from({ length }, () => Math.random() - 0.5);
  const [x, w] = [noise(m * k), noise(n * k)];
  const sides = [await ours(x, w, m, n, k), tensorflow(x, w, m, n, k), await onnx(x, w, m, n, k)];
  const results = [];
  for (const side of sides) {
    await side.run();
    results.push(await side.result());
  }
  for (const result of results.slice(1)) {
    const off = result.reduce((most, v, i) => Math.max(most, Math.abs(v - results[0][i])), 0);
    if (!(off < 1e-3)) throw new Error(`${name}: the results differ by ${off}`);
  }
  const times = sides.map(() => []);
  for (let turn = 0; turn < TURNS; turn++) for (const [i, side] of sides.entries()) times[i].push(await timed(side.run));
  const [own, ...others] = times.map((list) => list.sort((a, b) => a - b)[list.length >> 1]);
  const rate = (ms) => `${((2 * m * n * k) / ms / 1e6).toFixed(1)} GFLOP/s`.padStart(14);
  const ratio = (Math.min(...others) / own).toFixed(2);
  process.stdout.write(`${`${name} (${m}×${n}×${k})`.padEnd(46)} ${[own, ...others].map(rate).join(' ')}   ${ratio}\n`);
  for (const side of sides) side.end();
}

/** Milliseconds of one run, from as many as fit in a turn. */
async function timed(run) {
  let runs = 0;
  const start = performance.now();
  while (performance.now() - start < TURN_MS) {
    const answer = run();
    if (answer) await answer;
    runs++;
  }
  return (performance.now() - start) / runs;
}

/** w [k, n] as its users have it. */
function transposed(w, n, k) {
  const out = new Float32Array(n * k);
  for (let i = 0; i < n; i++) for (let j = 0; j < k; j++) out[j * n + i] = w[i * k + j];
  return out;
}

function tensorflow(x, w, m, n, k) {
  const [a, b] = [tf.tensor2d(x, [m, k]), tf.tensor2d(transposed(w, n, k), [k, n])];
  return {
    run: () => tf.matMul(a, b).dispose(),
    result: () => tf.tidy(() => tf.matMul(a, b).dataSync()),
    end: () => tf.dispose([a, b]),
  };
}

async function onnx(x, w, m, n, k) {
  const session = await ort.InferenceSession.create(matMulModel(transposed(w, n, k), m, n, k), { executionProviders: ['wasm'] });
  const feeds = { x: new ort.Tensor('float32', x, [m, k]) };
  return {
    run: () => session.run(feeds),
    result: async () => (await session.run(feeds)).y.data,
    end: () => session.release(),
  };
}

/** An ONNX model y = x · w with constant w, so that the runtime can reorder w once. The fields are those of onnx.proto. */
function matMulModel(w, m, n, k) {
  const varint = (value) => (value < 128 ? [value] : [(value & 127) | 128, ...varint(value >>> 7)]);
  const number = (field, value) => Buffer.from([...varint(field << 3), ...varint(value)]);
  const bytes = (field, ...parts) => {
    const content = Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : part)));
    return Buffer.concat([Buffer.from([...varint((field << 3) | 2), ...varint(content.length)]), content]);
  };
  const value = (field, name, shape) =>
    bytes(field, bytes(1, name), bytes(2, bytes(1, number(1, 1), bytes(2, ...shape.map((size) => bytes(1, number(1, size)))))));
  const raw = Buffer.from(w.buffer);
  const graph = [
    bytes(1, bytes(1, 'x'), bytes(1, 'w'), bytes(2, 'y'), bytes(4, 'MatMul')),
    bytes(2, 'product'),
    bytes(5, number(1, k), number(1, n), number(2, 1), bytes(8, 'w'), bytes(9, raw)),
    value(11, 'x', [m, k]),
    value(12, 'y', [m, n]),
  ];
  return new Uint8Array(Buffer.concat([number(1, 8), bytes(8, number(2, 13)), bytes(7, ...graph)]));
}
