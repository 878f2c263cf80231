/** Random inputs for an op, and its comparison with the float64 reference. */
import type { Backend } from '../../src/backend/backend.js';
import { ReferenceBackend } from '../../src/backend/reference.js';
import type { Tensor } from '../../src/core/tensor.js';
import { toFloat32, toHalves } from '../../src/io/dtype.js';
import type { AnyEntry, TensorSpec } from '../../src/ops/spec.js';

/** Dims and attributes by name; `omit` lists optional tensors left out, `half` those given as f16 where a backend has them. */
export type Case = Record<string, number | string[] | undefined> & { omit?: string[]; half?: string[] };

export interface OpCases {
  entry: AnyEntry;
  cases: Case[];
  /** Values of a tensor where a standard normal number does not do; `i` is the element's index. */
  fill?: Record<string, (random: () => number, dims: Record<string, number>, i: number) => number>;
}

/** mulberry32: a small seeded generator for test data. */
export function rng(seed: number): () => number {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export const normal = (random: () => number) => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());

/** Float32-rounded inputs of a case, by tensor name. Outputs hold NaN (or a poison integer), so an unwritten element shows. */
export function inputs(op: OpCases, c: Case, seed: number) {
  const random = rng(seed);
  const dims = c as Record<string, number>;
  const values: Record<string, { data: Float64Array | Uint32Array; shape: number[]; spec: TensorSpec }> = {};
  for (const name of op.entry.names) {
    const spec = op.entry.tensors[name] as TensorSpec;
    if (c.omit?.includes(name)) continue;
    const shape = spec.shape === '' ? [] : spec.shape.split(' ').map((w) => (/^\d/.test(w) ? Number(w) : dims[w]!));
    if (shape.some((n) => n === undefined))
      throw new Error(`${op.entry.key}: a case leaves out a dim of ${name} [${spec.shape}]`);
    const size = shape.reduce((a, b) => a * b, 1);
    const u32 = spec.dtype === 'u32';
    const data = u32 ? new Uint32Array(size) : new Float64Array(size);
    for (let i = 0; i < size; i++) {
      if (spec.io === 'out') data[i] = u32 ? 0xdeadbeef : Number.NaN;
      else data[i] = op.fill?.[name] ? op.fill[name](random, dims, i) : u32 ? 0 : Math.fround(normal(random));
    }
    if (c.half?.includes(name)) data.set(toFloat32(new Uint8Array(toHalves(Float32Array.from(data), 'F16', name).buffer), 'F16'));
    else if (!u32) for (let i = 0; i < size; i++) data[i] = Math.fround(data[i]!);
    values[name] = { data, shape, spec };
  }
  return values;
}

export async function runCase(backend: Backend, op: OpCases, c: Case, values: ReturnType<typeof inputs>) {
  const tensors: Record<string, Tensor> = {};
  for (const [name, v] of Object.entries(values)) {
    const half = backend.traits.halves && c.half?.includes(name);
    tensors[name] = backend.from(v.data, v.shape, half ? 'f16' : (v.spec.dtype ?? 'f32'));
  }
  const attrs = Object.fromEntries(op.entry.attrNames.map((n) => [n, (c[n] as number) ?? 0]));
  backend.run(op.entry, tensors as never, attrs as never);
  const out: Record<string, ArrayLike<number>> = {};
  for (const [name, v] of Object.entries(values)) if (v.spec.io !== 'in') out[name] = await backend.read(tensors[name]!);
  backend.free(...Object.values(tensors));
  return out;
}

/**
 * Errors of one case against the reference, by output; empty when all is within the spec's tolerance: that of f16 where the
 * case may be computed with factors of f16.
 */
export async function checkCase(
  backend: Backend,
  op: OpCases,
  c: Case,
  seed: number,
  products: 'f32' | 'f16' = 'f32',
): Promise<string[]> {
  const values = inputs(op, c, seed);
  const want = await runCase(new ReferenceBackend(), op, c, values);
  const got = await runCase(backend, op, c, values);
  const wrong: string[] = [];
  for (const name of Object.keys(want)) {
    const w = want[name]!;
    const g = got[name]!;
    let largest = 0;
    let worst = 0;
    let at = 0;
    for (let i = 0; i < w.length; i++) {
      const diff = Math.abs(g[i]! - w[i]!);
      largest = Math.max(largest, Math.abs(w[i]!));
      if (!(diff <= worst)) {
        worst = Number.isNaN(diff) ? Number.POSITIVE_INFINITY : diff;
        at = i;
        if (worst === Number.POSITIVE_INFINITY) break;
      }
    }
    const exact = values[name]!.spec.dtype === 'u32';
    const allowed = exact ? 0 : (op.entry.tolerance[products] ?? op.entry.tolerance.f32) * Math.max(largest, 1e-30);
    if (!(worst <= allowed))
      wrong.push(
        `${op.entry.key} ${JSON.stringify(c)}: ${name}[${at}] = ${g[at]}, expected ${w[at]} (allowed ± ${allowed.toExponential(1)})`,
      );
  }
  return wrong;
}
