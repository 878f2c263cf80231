/** Random inputs for an op, and its comparison with the float64 reference. */
import type { Backend } from '../../src/backend/backend.js';
import { ReferenceBackend, referenceOf } from '../../src/backend/reference.js';
import { WebGpuBackend } from '../../src/backend/webgpu.js';
import type { Tensor } from '../../src/core/tensor.js';
import { toFloat32, toHalves } from '../../src/io/dtype.js';
import type { AnyEntry, GpuCaps, TensorSpec } from '../../src/ops/spec.js';

/** Dims and attributes by name; `omit` lists optional tensors left out, `half` those given as f16 where a backend has them. */
export type Case = Record<string, number | string[] | undefined> & { omit?: string[]; half?: string[] };

export interface OpCases {
  entry: AnyEntry;
  cases: Case[];
  /** Values of a tensor if they are not standard normal numbers; `i` is the index of the element. */
  fill?: Record<string, (random: () => number, dims: Record<string, number>, i: number) => number>;
}

/** Value of integers that an op must overwrite, before it runs. */
const POISON = 0xdeadbeef;

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

/** Float32-rounded inputs of a case, by tensor name. Outputs hold NaN (or a poison integer) to detect unwritten elements. */
export function inputs(op: OpCases, c: Case, seed: number) {
  const random = rng(seed);
  const dims = c as Record<string, number>;
  const values: Record<string, { data: Float64Array | Uint32Array; shape: number[]; spec: TensorSpec }> = {};
  for (const name of op.entry.names) {
    const spec = op.entry.tensors[name] as TensorSpec;
    if (c.omit?.includes(name)) continue;
    const shape = spec.shape === '' ? [] : spec.shape.split(' ').map((w) => (/^\d/.test(w) ? Number(w) : dims[w]!));
    const unknown = spec.shape.split(' ').filter((_, i) => shape[i] === undefined);
    if (unknown.length)
      throw new Error(
        `${op.entry.key}: tensor ${name} has shape '${spec.shape}', but the case ${JSON.stringify(c)} gives no ${unknown.join(', ')}; ` +
          `correct the shape in src/ops/${op.entry.op}.ts or add the size to the case.`,
      );
    const size = shape.reduce((a, b) => a * b, 1);
    const u32 = spec.dtype === 'u32';
    const data = u32 ? new Uint32Array(size) : new Float64Array(size);
    for (let i = 0; i < size; i++) {
      if (spec.io === 'out') data[i] = u32 ? POISON : Number.NaN;
      else data[i] = op.fill?.[name] ? op.fill[name](random, dims, i) : u32 ? 0 : Math.fround(normal(random));
    }
    if (spec.io !== 'out' && c.half?.includes(name))
      data.set(toFloat32(new Uint8Array(toHalves(Float32Array.from(data), 'F16', name).buffer), 'F16'));
    else if (!u32) for (let i = 0; i < size; i++) data[i] = Math.fround(data[i]!);
    values[name] = { data, shape, spec };
  }
  return values;
}

/**
 * Returns accesses of the reference past the ends of its tensors in the smallest case, as text. They mean that a shape in the spec
 * or an index in the reference is wrong. Composites have no reference of their own.
 */
export function outOfBounds(op: OpCases): string[] {
  const { entry } = op;
  if (entry.parts) return [];
  const all = op.cases.map((c) => ({ c, values: inputs(op, c, 1) }));
  const size = ({ values }: (typeof all)[number]) => Object.values(values).reduce((sum, v) => sum + v.data.length, 0);
  const { c, values } = all.reduce((a, b) => (size(b) < size(a) ? b : a));
  const wrong = new Set<string>();
  const watched = (name: string) => {
    const v = values[name];
    if (!v) return undefined;
    const check = (key: string | symbol, does: string) => {
      if (typeof key === 'string' && /^\d/.test(key) && Number(key) >= v.data.length)
        wrong.add(`${entry.key}: the reference ${does} past the end of ${name}, whose shape '${v.spec.shape}' is [${v.shape}]`);
    };
    return new Proxy(v.data, {
      get(data, key) {
        check(key, 'reads');
        const value = Reflect.get(data, key, data);
        return typeof value === 'function' ? value.bind(data) : value;
      },
      set(data, key, value) {
        check(key, 'writes');
        return Reflect.set(data, key, value, data);
      },
    });
  };
  const tensors = Object.fromEntries((entry.names as string[]).map((name) => [name, watched(name)]));
  const dims: Record<string, number> = Object.fromEntries([...entry.dimNames, ...entry.attrNames].map((n) => [n, 0]));
  for (const [name, n] of Object.entries(c)) if (typeof n === 'number') dims[name] = n;
  referenceOf(entry)(tensors, dims);
  return [...wrong];
}

/** Whether a device can give an op this tensor as f16: kernels that write f16 need a feature. */
export const takesHalf = ({ io }: TensorSpec, { features }: Pick<GpuCaps, 'features'>) =>
  io === 'in' || features.has('shader-f16');

const holdsHalf = (backend: Backend, spec: TensorSpec) => backend instanceof WebGpuBackend && takesHalf(spec, backend.caps);

/**
 * Error of an output from rounding to f16, of the largest value. In a composite one part reads what another has rounded, and a kernel may
 * round later than its parts.
 */
function halfError(backend: Backend, { parts, tensors }: AnyEntry, name: string, half: readonly string[]): number {
  const rounded = (of: string) => tensors[of].io !== 'in' && half.includes(of) && holdsHalf(backend, tensors[of]);
  if (parts) return half.some(rounded) ? 2 ** -9 : 0;
  return rounded(name) ? 2 ** -11 : 0;
}

export async function runCase(backend: Backend, op: OpCases, c: Case, values: ReturnType<typeof inputs>) {
  const tensors: Record<string, Tensor> = {};
  for (const [name, v] of Object.entries(values)) {
    const half = c.half?.includes(name) && holdsHalf(backend, v.spec);
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
 * Compares one case with the reference and returns what is wrong, or []. `products` is 'f16' if the case may be computed with
 * factors of f16; the spec's tolerance for them applies then.
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
    const { spec } = values[name]!;
    const unwritten =
      spec.io === 'out' ? Array.from(w).findIndex((v) => (spec.dtype === 'u32' ? v === POISON : Number.isNaN(v))) : -1;
    if (unwritten >= 0) {
      wrong.push(
        `${op.entry.key} ${JSON.stringify(c)}: the reference leaves ${name}[${unwritten}] unwritten; ` +
          `is the shape '${spec.shape}' of ${name} in the spec right?`,
      );
      continue;
    }
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
    const own = op.entry.tolerance[products] ?? op.entry.tolerance.f32;
    const allowed = exact ? 0 : (own + halfError(backend, op.entry, name, c.half ?? [])) * Math.max(largest, 1e-30);
    if (!(worst <= allowed))
      wrong.push(
        `${op.entry.key} ${JSON.stringify(c)}: ${name}[${at}] = ${g[at]}, expected ${w[at]} (allowed ± ${allowed.toExponential(1)})`,
      );
  }
  return wrong;
}
